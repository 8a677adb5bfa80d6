local actions = {}
actions["refresh"] = { ["disabled"] = obj.status ~= nil and obj.status.active ~= nil }
return actions
