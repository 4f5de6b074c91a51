-- args[2]: holder.
operation('resign', function(args)
  if redis.call('HGET', META, 'leader') == args[2] then
    redis.call('HSET', META, 'leader', '')
  end
  return ''
end)
