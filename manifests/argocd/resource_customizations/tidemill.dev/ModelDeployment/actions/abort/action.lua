local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["tidemill.dev/request"] = "abort/" .. obj.status.candidate.revision .. "@" .. os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
