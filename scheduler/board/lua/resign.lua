-- ARGV[2]: holder.
if redis.call('HGET', META, 'leader') == ARGV[2] then
  redis.call('HSET', META, 'leader', '')
end
return ''
