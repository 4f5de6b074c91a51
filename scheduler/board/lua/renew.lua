-- args[2]: holder; args[3]: seconds of its lease. 1 when the holder was known.
operation('renew', function(args)
  local holder = args[2]
  local known = redis.call('ZSCORE', P .. 'holders', holder) and 1 or 0
  redis.call('ZADD', P .. 'holders', exact(now + tonumber(args[3])), holder)
  sweep()
  commit()
  return known
end)
