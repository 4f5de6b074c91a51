-- All lines that are not empty, as JSON.
operation('demand', function(args)
  sweep()
  local lines = {}
  for _, name in ipairs(redis.call('HKEYS', P .. 'lines')) do
    local line = { model = name, waiting = 0, since = now, num_ctx = 0, priority = -1, keys = {}, avoid = {} }
    local names, count, last = {}, 0, nil
    each_waiting(name, function(t)
      last = t
      line.waiting = line.waiting + 1
      line.since = math.min(line.since, t.admitted)
      line.num_ctx = math.max(line.num_ctx, t.num_ctx)
      line.priority = line.waiting == 1 and t.priority or math.max(line.priority, t.priority)
      if names[t.key] or count < 64 then
        count = names[t.key] and count or count + 1
        names[t.key] = (names[t.key] or 0) + 1
      end
      for node in pairs(t.avoid) do
        line.avoid[node] = true
      end
    end)
    line.keys = names
    line.facts = facts(name)
    line.facts.served = last and served(last) or false
    table.insert(lines, line)
  end
  commit()
  return cjson.encode(lines)
end)
