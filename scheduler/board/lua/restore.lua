-- Make the board hold exactly what a holder says it holds, after either was away. args[2]: holder; args[3]:
-- seconds of its lease; args[4]: {held: tickets with `node` when seated; asking: ids that are being admitted}.
operation('restore', function(args)
  local holder = args[2]
  local said = cjson.decode(args[4])
  redis.call('ZADD', P .. 'holders', exact(now + tonumber(args[3])), holder)
  local held = {}
  for _, id in ipairs(said.asking) do
    held[id] = true
  end
  for _, t in ipairs(said.held) do
    held[t.id] = true
  end
  for _, id in ipairs(redis.call('HKEYS', tickets_key(holder))) do
    local t = not held[id] and read_ticket(holder, id)
    if t then
      finish(t, 0)
    end
  end
  for _, t in ipairs(said.held) do
    local known = read_ticket(holder, t.id)
    if known and t.node and known.node ~= t.node then -- it sits where its own process seated it meanwhile
      finish(known, 0)
      known = nil
    end
    if not known then
      local age = t.age
      open(t)
      t.admitted, t.joined, t.age = now - age, now - age, nil
      reserve(t)
      if t.node then
        local slots = node_of(t.model, t.node)
        slots.in_flight = slots.in_flight + 1
        slots.last_used = now
      else
        join(t)
      end
      write_ticket(t)
      dispatch(t.model)
    end
  end
  commit()
  return ''
end)
