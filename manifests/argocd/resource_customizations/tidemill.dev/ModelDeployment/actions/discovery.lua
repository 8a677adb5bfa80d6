-- promote, skip and abort are about the rollout under way; retry about what was refused last.
local status = obj.status or {}
local idle = status.rollout == nil or status.candidate == nil
local actions = {}
actions["promote"] = { ["disabled"] = idle }
actions["skip"] = { ["disabled"] = idle }
actions["abort"] = { ["disabled"] = idle }
actions["retry"] = { ["disabled"] = #(status.refused or {}) == 0 }
return actions
