-- args[2]: holder; args[3]: seconds of the leader's lease. The fencing number, or '' while another leads. The
-- number is never below the server's milliseconds, so that it also grows over a loss of all data.
operation('lead', function(args)
  local holder, lease = args[2], tonumber(args[3])
  sweep()
  commit()
  local v = redis.call('HMGET', META, 'leader', 'led', 'epoch')
  local epoch = tonumber(v[3] or '') or 0
  local running = v[1] and v[1] ~= '' and now < tonumber(v[2]) + lease
  if running and v[1] ~= holder then
    return ''
  end
  if not running then
    epoch = math.max(epoch + 1, math.floor(now * 1000))
  end
  redis.call('HSET', META, 'leader', holder, 'led', exact(now), 'lead_s', lease, 'epoch', exact(epoch))
  return exact(epoch)
end)
