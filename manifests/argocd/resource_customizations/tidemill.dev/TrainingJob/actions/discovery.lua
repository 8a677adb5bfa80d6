local actions = {}
actions["retrain"] = { ["disabled"] = obj.status ~= nil and obj.status.active ~= nil }
return actions
