local hs = { status = "Progressing", message = "The operator has not looked at this generation yet" }
local status = obj.status or {}
if status.observedGeneration == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- A challenger that lost is normal work, so it is Healthy; one that a person must decide on waits.
local approved = conditions.Approved
if approved ~= nil then
  if approved.status == "Unknown" then
    hs.status = "Suspended"
  else
    hs.status = "Healthy"
  end
  hs.message = approved.message
end
return hs
