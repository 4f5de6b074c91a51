-- Tickets: one JSON text each, in a hash per holder, from admission until they end.

local function tickets_key(holder)
  return P .. 'tickets:' .. holder
end

local function read_ticket(holder, id)
  local text = redis.call('HGET', tickets_key(holder), id)
  return text and cjson.decode(text)
end

local function write_ticket(t)
  redis.call('HSET', tickets_key(t.holder), t.id, cjson.encode(t))
end

local function announce(t, answer)
  redis.call('PUBLISH', P .. 'inbox:' .. t.inbox, cjson.encode(answer))
end

local function seat_answer(t)
  local slots = node_of(t.model, t.node)
  return { ticket = t.id, seat = { node = t.node, num_ctx = t.seat.num_ctx or slots.num_ctx,
    options = t.seat.options or slots.options, load = t.seat.load, queued = t.queued }, allowance = t.allowance }
end

-- Sit down: see scheduler.board.seating.take.
local function take(t, node)
  local slots = node_of(t.model, node)
  local ahead = slots.fresh and slots.cause == 'prefetch'
  slots.fresh = false
  slots.in_flight = slots.in_flight + 1
  slots.last_used = now
  t.node = node
  t.queued = t.queued + math.max(0, now - t.joined)
  t.seat = { load = t.cold and 'cold' or ahead and 'prefetched' or 'warm', num_ctx = slots.num_ctx,
    options = slots.options }
  return seat_answer(t)
end

local function place_answer(t)
  local known = facts(t.model)
  known.served = served(t)
  return { ticket = t.id, place = { position = position_of(t), facts = known }, allowance = t.allowance }
end

local function refusal_answer(t, refusal)
  refusal.facts = facts(t.model)
  refusal.facts.served = served(t)
  return { ticket = t.id, refusal = refusal, allowance = t.allowance }
end

local function too_late(t)
  return { reason = 'deadline', waited = t.queued + now - t.joined }
end

-- Why nobody will load what the ticket needs; nil when it is loaded, or may be.
local function closed_to(t)
  if served(t) then
    return nil
  end
  if not led_lately() then
    return { reason = 'no_scheduler' }
  end
  local published = redis.call('HGET', META, 'published')
  if published and not redis.call('HGET', P .. 'loadable', t.model) and not resident_anywhere(t.model) then
    return { reason = 'no_node' }
  end
  return nil
end

-- Give the slot or the place back. dispatch() gives the slot on.
local function stand_up(t)
  if t.member then
    leave(t)
  end
  if t.node then
    local slots = node_of(t.model, t.node)
    slots.in_flight = math.max(0, slots.in_flight - 1)
    slots.last_used = now
    if slots.shown and not slots.accepting and slots.in_flight == 0 then
      wake_scheduler()
    end
    t.node, t.seat = nil, nil
  end
end

-- End a ticket that waits; the refusal is kept until its holder fetches it.
local function turn_away(t, refusal)
  local answer = refusal_answer(t, refusal) -- with the line as it was
  stand_up(t)
  settle_charge(t, 0)
  t.refused = answer
  write_ticket(t)
  announce(t, t.refused)
end

-- Give free slots to those who wait, in fair order; who fits nowhere now lets the next one pass.
local function dispatch(name)
  if waiting_in(name) == 0 then
    return
  end
  for _, member in ipairs(redis.call('ZRANGE', line_key(name), 0, -1)) do
    if not any_free(name) then
      return
    end
    local holder, id = string.match(member, '^%d+|([^|]*)|(.*)$')
    local t = read_ticket(holder, id)
    if t.deadline <= now then
      turn_away(t, too_late(t))
    else
      local node = choose(t)
      if node then
        serve(t)
        local answer = take(t, node)
        write_ticket(t)
        announce(t, answer)
      end
    end
  end
end

local function finish(t, tokens)
  redis.call('HDEL', tickets_key(t.holder), t.id)
  if t.refused then
    return
  end
  settle_charge(t, tokens)
  local sat = t.node
  stand_up(t)
  if sat then
    dispatch(t.model)
  end
end

local function standing(t)
  if t.refused then
    redis.call('HDEL', tickets_key(t.holder), t.id)
    return t.refused
  end
  return t.node and seat_answer(t) or place_answer(t)
end

local function each_waiting(name, act)
  for _, member in ipairs(redis.call('ZRANGE', line_key(name), 0, -1)) do
    local holder, id = string.match(member, '^%d+|([^|]*)|(.*)$')
    act(read_ticket(holder, id))
  end
end

-- Those who wait first, so that no slot is given to a ticket that ends in the next moment.
local function bury(holder)
  redis.call('ZREM', P .. 'holders', holder)
  local seated = {}
  for _, text in ipairs(redis.call('HVALS', tickets_key(holder))) do
    local t = cjson.decode(text)
    if t.node then
      table.insert(seated, t)
    else
      finish(t, 0)
    end
  end
  for _, t in ipairs(seated) do
    finish(t, 0)
  end
end

-- End what nobody else ends: tickets of dead holders, overdue ones, cold ones without a scheduler.
local function sweep()
  for _, holder in ipairs(redis.call('ZRANGEBYSCORE', P .. 'holders', '-inf', '(' .. exact(now), 'LIMIT', 0, 8)) do
    bury(holder)
  end
  local swept = tonumber(redis.call('HGET', META, 'swept') or '') or 0
  if math.abs(now - swept) < 1 then
    return
  end
  redis.call('HSET', META, 'swept', exact(now))
  local leaderless = redis.call('HEXISTS', META, 'led') == 1 and not led_lately() -- never led: data were lost
  for _, name in ipairs(redis.call('HKEYS', P .. 'lines')) do
    each_waiting(name, function(t)
      if t.deadline <= now then
        turn_away(t, too_late(t))
      elseif leaderless and not served(t) then
        turn_away(t, { reason = 'no_scheduler' })
      end
    end)
  end
end
