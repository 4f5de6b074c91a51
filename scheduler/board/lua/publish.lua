-- args[2]: {epoch, residents, loadable}. Returns '' or the newer epoch that forbids it.
operation('publish', function(args)
  local said = cjson.decode(args[2])
  local newest = tonumber(redis.call('HGET', META, 'epoch') or '') or 0
  if said.epoch < newest then
    return exact(newest)
  end
  redis.call('HSET', META, 'epoch', exact(said.epoch), 'published', exact(now))
  redis.call('DEL', P .. 'loadable')
  for model, seconds in pairs(said.loadable) do
    redis.call('HSET', P .. 'loadable', model, seconds)
  end
  for _, name in ipairs(redis.call('HKEYS', P .. 'models')) do
    for _, slots in pairs(model_of(name)) do
      slots.was, slots.shown = slots.shown, false
    end
  end
  for _, r in ipairs(said.residents) do
    local slots = node_of(r.model, r.node)
    if not slots.was or slots.num_ctx ~= r.num_ctx or slots.cause ~= r.cause then
      slots.fresh, slots.last_used = true, now
    end
    slots.shown, slots.accepting, slots.slots, slots.num_ctx = true, r.accepting, r.slots, r.num_ctx
    slots.cause, slots.options, slots.bytes = r.cause, r.options, r.bytes
  end
  for _, nodes in pairs(loaded) do
    for _, slots in pairs(nodes) do
      slots.was = nil
    end
  end
  sweep()
  for _, name in ipairs(redis.call('HKEYS', P .. 'lines')) do
    dispatch(name)
  end
  commit()
  return ''
end)
