-- What every function begins with: the clock, the names of keys, and the residents of a model.

local HEAD = -1 -- see scheduler.policy.fairness
local LEADERLESS_LEASES = 2

local META -- the name of a hash; every key of a board begins as it does and shares its hash tag
local P -- that beginning
local now -- Unix seconds
local loaded -- residents by model and node: read at most once in a step, written back by commit()

local function server_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- The first argument is a clock for tests; empty: the server's own.
local function begin(keys, args)
  META = keys[1]
  P = string.sub(META, 1, -5)
  now = tonumber(args[1]) or server_clock()
  loaded = {}
end

local function exact(number)
  return string.format('%.17g', number)
end

local function model_of(name)
  if not loaded[name] then
    local text = redis.call('HGET', P .. 'models', name)
    loaded[name] = text and cjson.decode(text) or {}
  end
  return loaded[name]
end

local function commit()
  for name, nodes in pairs(loaded) do
    for node, slots in pairs(nodes) do
      if not slots.shown and slots.in_flight <= 0 then
        nodes[node] = nil
      end
    end
    if next(nodes) then
      redis.call('HSET', P .. 'models', name, cjson.encode(nodes))
    else
      redis.call('HDEL', P .. 'models', name)
    end
  end
end

local function node_of(name, node)
  local nodes = model_of(name)
  nodes[node] = nodes[node] or { in_flight = 0, last_used = 0, fresh = true, shown = false }
  return nodes[node]
end

local function resident_anywhere(name)
  for _, slots in pairs(model_of(name)) do
    if slots.shown then
      return true
    end
  end
  return false
end

local function serves(slots, node, t)
  return slots.shown and slots.accepting and t.num_ctx <= slots.num_ctx and not t.avoid[node]
end

local function served(t)
  for node, slots in pairs(model_of(t.model)) do
    if serves(slots, node, t) then
      return true
    end
  end
  return false
end

-- A free slot: on the preferred node, else where the least share is taken, else used longest ago.
local function choose(t)
  local best, share, used
  for node, slots in pairs(model_of(t.model)) do
    if serves(slots, node, t) and slots.in_flight < slots.slots then
      if node == t.prefer then
        return node
      end
      local taken = slots.in_flight / slots.slots
      local less = not best or taken < share or (taken == share and slots.last_used < used)
      if less or (taken == share and slots.last_used == used and node < best) then
        best, share, used = node, taken, slots.last_used
      end
    end
  end
  return best
end

local function any_free(name)
  for _, slots in pairs(model_of(name)) do
    if slots.shown and slots.accepting and slots.in_flight < slots.slots then
      return true
    end
  end
  return false
end

local function led_lately()
  local led = redis.call('HMGET', META, 'led', 'lead_s')
  return led[1] and now < tonumber(led[1]) + LEADERLESS_LEASES * tonumber(led[2])
end

local function wake_scheduler()
  redis.call('PUBLISH', P .. 'demand', '1')
end
