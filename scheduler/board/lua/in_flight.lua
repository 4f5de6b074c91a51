-- args[2]: how many of those who wait, and of those whom each holder has, are told at most. JSON.
operation('in_flight', function(args)
  local most = tonumber(args[2])
  local seen, waiting = {}, 0
  local function tell(t, place)
    table.insert(seen, { ticket = t.id, key = t.key, model = t.model, since = t.admitted, node = t.node, place = place })
  end
  for _, name in ipairs(redis.call('HKEYS', P .. 'lines')) do
    for _, member in ipairs(redis.call('ZRANGE', line_key(name), 0, most - waiting - 1)) do
      local holder, id = string.match(member, '^%d+|([^|]*)|(.*)$')
      local t = read_ticket(holder, id)
      tell(t, place_answer(t).place)
      waiting = waiting + 1
    end
    if waiting >= most then
      break
    end
  end
  local enough = most + waiting_total() -- among so many of a holder, `most` run
  for _, holder in ipairs(redis.call('ZRANGE', P .. 'holders', 0, -1)) do
    local held, running = redis.call('HRANDFIELD', tickets_key(holder), enough, 'WITHVALUES'), 0
    for i = 2, #held, 2 do
      local t = cjson.decode(held[i])
      if t.node and running < most then
        tell(t)
        running = running + 1
      end
    end
  end
  return #seen > 0 and cjson.encode(seen) or '[]'
end)
