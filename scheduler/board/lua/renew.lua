-- ARGV[2]: holder; ARGV[3]: seconds of its lease. 1 when the holder was known.
local holder = ARGV[2]
local known = redis.call('ZSCORE', P .. 'holders', holder) and 1 or 0
redis.call('ZADD', P .. 'holders', exact(now + tonumber(ARGV[3])), holder)
sweep()
commit()
return known
