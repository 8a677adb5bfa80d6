local last = obj.status.refused[1]
for _, refused in ipairs(obj.status.refused) do
  -- Times of one format and zone: the later is the greater.
  if refused.at > last.at then
    last = refused
  end
end
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["tidemill.dev/request"] = "retry/" .. last.revision .. "@" .. os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
