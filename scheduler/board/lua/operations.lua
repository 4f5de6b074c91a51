-- What a bridge or a scheduler may ask for. Each becomes a function of its own, named after the version of this
-- library; it takes the arguments after its clock (args[1]).
local function operation(name, act)
  redis.register_function(VERSION .. '_' .. name, function(keys, args)
    begin(keys, args)
    return act(args)
  end)
end
