local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- By digest: what is approved is the very content that was looked at.
obj.metadata.annotations["tidemill.dev/request"] = "approve/" .. obj.status.latest.digest .. "@" .. os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
