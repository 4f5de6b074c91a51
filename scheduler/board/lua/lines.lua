-- Lines: the order of scheduler.policy.fairness as a sorted set, and the drain rate of
-- scheduler.policy.backpressure. A member is <joining number>|<holder>|<ticket>, so equal tags stand in the order
-- of joining.

local AGING = 120
local IDLE_FLOWS = 64
local MEMORY = 60

local function line_key(name)
  return P .. 'line:' .. name
end

local function order_key(name)
  return P .. 'order:' .. name
end

local function flows_key(name)
  return P .. 'flows:' .. name
end

local function waiting_in(name)
  return tonumber(redis.call('HGET', P .. 'lines', name)) or 0
end

local function waiting_total()
  local total = 0
  for _, count in ipairs(redis.call('HVALS', P .. 'lines')) do
    total = total + tonumber(count)
  end
  return total
end

local function virtual_now(name)
  local v = redis.call('HMGET', order_key(name), 'virtual', 'at')
  return (tonumber(v[1]) or 0) + math.max(0, now - (tonumber(v[2]) or now)) / AGING
end

local function weight(t)
  return 4 ^ t.priority
end

local function flow_of(t)
  return t.priority .. '|' .. t.key
end

local function drain_of(name)
  local text = redis.call('HGET', P .. 'drains', name)
  local seats, seconds, at = string.match(text or '0 0 0', '(%S+) (%S+) (%S+)')
  return { seats = tonumber(seats), seconds = tonumber(seconds), at = tonumber(at) }
end

local function drain_until(drain)
  local keep = math.exp(-math.max(0, now - drain.at) / MEMORY)
  return { seats = drain.seats * keep, seconds = drain.seconds * keep + MEMORY * (1 - keep),
    at = math.max(drain.at, now) }
end

local function keep_drain(name, drain)
  local text = exact(drain.seats) .. ' ' .. exact(drain.seconds) .. ' ' .. exact(drain.at)
  redis.call('HSET', P .. 'drains', name, text)
end

-- What the predictions and Retry-After of a line are made of; the arithmetic is Python's.
local function facts(name)
  local drain = drain_of(name)
  local waiting = waiting_in(name)
  if waiting > 0 then
    drain = drain_until(drain)
  end
  local load_s = tonumber(redis.call('HGET', P .. 'loadable', name) or '')
  if load_s and waiting > 0 then
    load_s = load_s - (now - (tonumber(redis.call('HGET', order_key(name), 'since')) or now))
  end
  return { waiting = waiting, seats = drain.seats, seconds = drain.seconds,
    load_s = load_s and load_s > 0 and load_s or nil, resident = resident_anywhere(name) }
end

local function join(t, head)
  local name = t.model
  local order = order_key(name)
  if redis.call('HINCRBY', P .. 'lines', name, 1) == 1 then
    redis.call('HSET', order, 'virtual', 0, 'at', exact(now), 'since', exact(now))
    local drain = drain_of(name)
    drain.at = now
    keep_drain(name, drain)
  end
  t.tag = HEAD
  if not head then
    local last = tonumber(redis.call('HGET', flows_key(name), flow_of(t)) or '') or 0
    local tag = math.max(virtual_now(name), last) + 1 / weight(t)
    t.tag = exact(tag)
    redis.call('HSET', flows_key(name), flow_of(t), t.tag)
  end
  t.cold = not served(t)
  t.joined = now
  t.node = nil
  t.member = string.format('%015d|%s|%s', redis.call('HINCRBY', order, 'joined', 1), t.holder, t.id)
  redis.call('ZADD', line_key(name), t.tag, t.member)
  wake_scheduler()
end

-- Take a ticket out of its line, served or not.
local function out_of_line(t)
  local name = t.model
  redis.call('ZREM', line_key(name), t.member)
  t.member = nil
  if redis.call('HINCRBY', P .. 'lines', name, -1) <= 0 then
    redis.call('HDEL', P .. 'lines', name)
    redis.call('DEL', order_key(name), flows_key(name))
    keep_drain(name, drain_until(drain_of(name)))
  end
end

local function forget_idle_flows(name, virtual)
  if redis.call('HLEN', flows_key(name)) <= 2 * waiting_in(name) + IDLE_FLOWS then
    return
  end
  local flows = redis.call('HGETALL', flows_key(name))
  for i = 1, #flows, 2 do
    if tonumber(flows[i + 1]) <= virtual then
      redis.call('HDEL', flows_key(name), flows[i])
    end
  end
end

local function serve(t)
  local name = t.model
  local virtual = math.max(virtual_now(name), tonumber(t.tag))
  redis.call('HSET', order_key(name), 'virtual', exact(virtual), 'at', exact(now))
  local drain = drain_until(drain_of(name))
  drain.seats = drain.seats + 1
  keep_drain(name, drain)
  out_of_line(t)
  forget_idle_flows(name, virtual)
end

local function leave(t)
  local flow = flow_of(t)
  if redis.call('HGET', flows_key(t.model), flow) == t.tag then
    redis.call('HSET', flows_key(t.model), flow, exact(tonumber(t.tag) - 1 / weight(t)))
  end
  out_of_line(t)
end

local function position_of(t)
  return redis.call('ZRANK', line_key(t.model), t.member) + 1
end

-- Why a ticket may not join; see scheduler.policy.backpressure.crowding. Bounds are in t.bounds.
local function crowding(t)
  local waiting, total = waiting_in(t.model), waiting_total()
  local fullness = math.max(waiting / math.max(t.queue_model, 1), total / math.max(t.queue_total, 1))
  local reason
  if fullness >= 1 then
    reason = 'queue_full'
  elseif fullness > 0.8 + 0.1 * t.priority then
    reason = 'queue_shed'
  end
  return reason and { reason = reason, waiting = waiting, total = total }
end
