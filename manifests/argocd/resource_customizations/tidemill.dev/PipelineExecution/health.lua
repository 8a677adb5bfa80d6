local hs = { status = "Progressing", message = "The operator has not looked at this generation yet" }
local status = obj.status or {}
if status.observedGeneration == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local ready = conditions.Ready
if ready ~= nil then
  hs.message = ready.message
end
if status.state == "Succeeded" then
  hs.status = "Healthy"
elseif status.state == "Failed" or status.state == "Canceled" then
  hs.status = "Degraded"
end
return hs
