-- args[2]: epoch; args[3]: {residents, loadable}; args[4]: a hash of that text. Returns '' or the newer epoch that
-- forbids it. What was shown last is not shown again: most publications only say that nothing changed.

local function hide_all()
  for _, name in ipairs(redis.call('HKEYS', P .. 'models')) do
    for _, slots in pairs(model_of(name)) do
      slots.was, slots.shown = slots.shown, false
    end
  end
end

local function show(r)
  local slots = node_of(r.model, r.node)
  if not slots.was or slots.num_ctx ~= r.num_ctx or slots.cause ~= r.cause then
    slots.fresh, slots.last_used = true, now
  end
  slots.shown, slots.accepting, slots.slots, slots.num_ctx = true, r.accepting, r.slots, r.num_ctx
  slots.cause, slots.options, slots.bytes = r.cause, r.options, r.bytes
end

local function replace_residents(said)
  hide_all()
  for _, r in ipairs(said.residents) do
    show(r)
  end
  for _, nodes in pairs(loaded) do
    for _, slots in pairs(nodes) do
      slots.was = nil
    end
  end
end

local function replace_loadable(loadable)
  redis.call('DEL', P .. 'loadable')
  for model, seconds in pairs(loadable) do
    redis.call('HSET', P .. 'loadable', model, seconds)
  end
  for _, name in ipairs(redis.call('HKEYS', P .. 'drains')) do
    if not loadable[name] and waiting_in(name) == 0 then
      redis.call('HDEL', P .. 'drains', name)
    end
  end
end

operation('publish', function(args)
  local epoch, newest = tonumber(args[2]), tonumber(redis.call('HGET', META, 'epoch') or '') or 0
  if epoch < newest then
    return exact(newest)
  end
  local known = redis.call('HGET', META, 'shown') == args[4]
  redis.call('HSET', META, 'epoch', exact(epoch), 'published', exact(now), 'shown', args[4])
  if not known then
    local said = cjson.decode(args[3])
    replace_residents(said)
    replace_loadable(said.loadable)
  end
  sweep()
  for _, name in ipairs(redis.call('HKEYS', P .. 'lines')) do
    dispatch(name)
  end
  commit()
  return ''
end)
