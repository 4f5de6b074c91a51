-- All arrivals since the last call.
operation('arrivals', function(args)
  local came = redis.call('LRANGE', P .. 'arrivals', 0, -1)
  redis.call('DEL', P .. 'arrivals')
  return came
end)
