local actions = {}
local status = obj.status or {}
actions["refresh"] = { ["disabled"] = status.active ~= nil }

-- The newest version waits for a person.
local waits = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Accepted" then
    waits = condition.reason == "GrowthNeedsApproval" or condition.reason == "SchemaNeedsApproval"
  end
end
actions["approve"] = { ["disabled"] = not (waits and status.latest ~= nil) }
return actions
