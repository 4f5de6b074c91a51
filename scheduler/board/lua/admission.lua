-- Admit and move: limits, seat or line, in one step.

local ARRIVALS = 10000

local function note_arrival(t)
  local said = { now, t.key, t.model }
  if t.session or t.next then
    said[4], said[5] = t.session or '', t.next or {}
  end
  if redis.call('RPUSH', P .. 'arrivals', cjson.encode(said)) > ARRIVALS then
    redis.call('LTRIM', P .. 'arrivals', -ARRIVALS, -1)
  end
end

local function limiting_windows(t)
  return (t.rpm or t.tpm) and read_windows(t.key) or nil
end

-- What a ticket is from now on, without what only its admission needed; its deadline is told in seconds from
-- now, so that clocks may differ.
local function open(t)
  t.deadline = now + t.left
  t.left, t.lease, t.queue_model, t.queue_total, t.rpm, t.tpm, t.parallel = nil, nil, nil, nil, nil, nil, nil
  t.session, t.next, t.led = nil, nil, nil
  t.admitted = now
  t.joined = now
  t.queued = 0
end

local function seat_or_line(t, node, head)
  local answer
  if node then
    answer = take(t, node)
  else
    join(t, head)
    answer = place_answer(t)
  end
  return answer
end

-- The data were lost: the holder knows of a scheduler, which gets its leases to say again that it leads.
local function recall_leader(t)
  if t.led and redis.call('HEXISTS', META, 'led') == 0 then
    redis.call('HSET', META, 'led', exact(now), 'lead_s', t.led)
  end
end

local function admit(t)
  local known = read_ticket(t.holder, t.id)
  if known then
    return standing(known)
  end
  note_arrival(t)
  local windows = limiting_windows(t)
  local exceeded = over(t, windows)
  if exceeded then
    return { ticket = t.id, over = exceeded, allowance = allowance(t, windows) }
  end
  recall_leader(t)
  local node = choose(t)
  local refusal = not node and (closed_to(t) or crowding(t))
  if refusal then
    t.allowance = allowance(t, windows)
    return refusal_answer(t, refusal)
  end
  -- No ticket without a lease, or nobody would end it: a holder that was buried has none until it renews.
  local stranger = redis.call('ZADD', P .. 'holders', 'NX', exact(now + t.lease), t.holder) == 1
  charge(t, windows)
  t.allowance = allowance(t, windows)
  open(t)
  local answer = seat_or_line(t, node)
  write_ticket(t)
  answer.stranger = stranger or nil -- what else its holder holds is not here
  return answer
end

-- `t` is the ticket as it was admitted, with what is to be avoided now. Not charged twice, and no bound holds.
local function move(asked)
  local t = read_ticket(asked.holder, asked.id)
  if not t then
    return admit(asked)
  end
  if t.refused then
    return standing(t)
  end
  if t.member then
    t.queued = t.queued + now - t.joined
  end
  stand_up(t)
  t.avoid, t.prefer, t.deadline, t.joined, t.cold = asked.avoid, asked.prefer, now + asked.left, now, false
  local node = choose(t)
  local refusal = not node and (closed_to(t) or (t.deadline <= now and too_late(t)))
  if refusal then
    redis.call('HDEL', tickets_key(t.holder), t.id)
    settle_charge(t, 0)
    dispatch(t.model)
    return refusal_answer(t, refusal)
  end
  local answer = seat_or_line(t, node, true)
  write_ticket(t)
  dispatch(t.model)
  return answer
end
