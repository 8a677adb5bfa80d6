local hs = { status = "Progressing", message = "The operator has not looked at this generation yet" }
local status = obj.status or {}
if status.observedGeneration == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- A version that broke its contract is kept to be looked at; its Dataset goes on with the last good one.
local accepted = conditions.Accepted
if accepted ~= nil then
  if accepted.status == "True" then
    hs.status = "Healthy"
  elseif accepted.status == "False" then
    hs.status = "Degraded"
  elseif accepted.reason == "GrowthNeedsApproval" then
    hs.status = "Suspended" -- until a person approves it
  end
  hs.message = accepted.message
end
return hs
