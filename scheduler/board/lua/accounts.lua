-- What each key has used: scheduler.board.accounts and scheduler.board.windows, in Redis.

local MINUTE = 60
local TOLERANCE = 0.000001
local WINDOW_MS = 180000 -- nothing of a window counts after two minutes
local SETTLED_AFTER = 86400
local UNENDING = 400 * 86400 -- a budget without an end is kept so long after its last use

local function window_of(minute, current, previous)
  local w = { minute = tonumber(minute) or 0, current = tonumber(current) or 0, previous = tonumber(previous) or 0 }
  local this = math.floor(now / MINUTE)
  if this > w.minute then
    w.previous = this == w.minute + 1 and w.current or 0
    w.current = 0
    w.minute = this
  end
  return w
end

local function elapsed_share(w)
  return math.min(math.max((now - w.minute * MINUTE) / MINUTE, 0), 1)
end

local function used_of(w)
  return w.current + w.previous * (1 - elapsed_share(w))
end

local function decay_share(room, bucket)
  return bucket <= room and 0 or 1 - room / bucket
end

-- Seconds until the amount fits if nothing else comes; nil: it never does.
local function fits_in(w, amount, limit)
  if amount > limit then
    return nil
  end
  local share = elapsed_share(w)
  local room = limit - amount - w.current
  if room >= 0 then
    return math.max(0, decay_share(room, w.previous) - share) * MINUTE
  end
  return (1 - share + decay_share(limit - amount, w.current)) * MINUTE
end

local function reset_of(w)
  local left = MINUTE * (1 - elapsed_share(w))
  if w.current > 0 then
    return left + MINUTE
  end
  return w.previous > 0 and left or 0
end

local function correct(w, minute, amount)
  if minute == w.minute then
    w.current = math.max(0, w.current + amount)
  elseif minute == w.minute - 1 then
    w.previous = math.max(0, w.previous + amount)
  end
end

local function read_windows(key)
  local v = redis.call('HMGET', P .. 'window:' .. key, 'rm', 'rc', 'rp', 'tm', 'tc', 'tp')
  return { requests = window_of(v[1], v[2], v[3]), tokens = window_of(v[4], v[5], v[6]) }
end

local function write_windows(key, windows)
  local r, t = windows.requests, windows.tokens
  local name = P .. 'window:' .. key
  local new = redis.call('HSET', name, 'rm', r.minute, 'rc', r.current, 'rp', r.previous,
    'tm', t.minute, 'tc', t.current, 'tp', t.previous)
  if new > 0 or r.current == 1 then -- once a minute is enough
    redis.call('PEXPIRE', name, WINDOW_MS)
  end
end

local function budget_key(key, budget)
  return P .. 'budget:' .. key .. '|' .. budget.name
end

local function keep_budget(name, ends_in)
  redis.call('EXPIRE', name, math.ceil(math.max(ends_in or UNENDING, 0) + SETTLED_AFTER))
end

-- Used and reserved tokens; never less used than the caller knows from the records.
local function read_budget(key, budget)
  local name = budget_key(key, budget)
  local v = redis.call('HMGET', name, 'used', 'reserved')
  local used, reserved = tonumber(v[1]) or 0, tonumber(v[2]) or 0
  if budget.floor > used then
    used = budget.floor
    redis.call('HSET', name, 'used', used)
    keep_budget(name, budget.ends_in)
  end
  return used, reserved
end

local function over_budget(t, budget)
  local used, reserved = read_budget(t.key, budget)
  budget.floor = used -- the holder remembers it, should the data be lost
  if used + reserved + t.tokens <= budget.tokens then
    return nil
  end
  local wait
  if used + t.tokens <= budget.tokens then
    wait = 1
  elseif budget.ends_in and budget.ends_in > 0 and budget.ends_in <= 60 and t.tokens <= budget.tokens then
    wait = budget.ends_in
  end
  return { reason = 'budget', limit = budget.tokens, asked = t.tokens, wait = wait, period = budget.period,
    used = used, reserved = reserved }
end

-- The first limit that the ticket would exceed: 1. rate, 2. tokens, 3. parallel, 4. budget.
local function over(t, windows)
  if t.rpm and used_of(windows.requests) + 1 > t.rpm + TOLERANCE then
    return { reason = 'rate', limit = t.rpm, asked = 1, wait = fits_in(windows.requests, 1, t.rpm) }
  end
  if t.tpm and used_of(windows.tokens) + t.tokens > t.tpm + TOLERANCE then
    return { reason = 'tokens', limit = t.tpm, asked = t.tokens, wait = fits_in(windows.tokens, t.tokens, t.tpm) }
  end
  if t.parallel then
    local running = tonumber(redis.call('HGET', P .. 'parallel', t.key)) or 0
    if running >= t.parallel then
      return { reason = 'parallel', limit = t.parallel, asked = running, wait = 1 }
    end
  end
  for _, budget in ipairs(t.budgets) do
    local found = over_budget(t, budget)
    if found then
      return found
    end
  end
  return nil
end

-- Parallel and budgets: what a restored ticket takes, too.
local function reserve(t)
  redis.call('HINCRBY', P .. 'parallel', t.key, 1)
  for _, budget in ipairs(t.budgets) do
    local name = budget_key(t.key, budget)
    if redis.call('HINCRBY', name, 'reserved', t.tokens) == t.tokens then -- nothing else runs on it
      keep_budget(name, budget.ends_in)
    end
  end
end

local function charge(t, windows)
  reserve(t)
  if windows then
    windows.requests.current = windows.requests.current + 1
    windows.tokens.current = windows.tokens.current + t.tokens
    t.minute = windows.tokens.minute
    write_windows(t.key, windows)
  end
end

local function settle_charge(t, tokens)
  if redis.call('HINCRBY', P .. 'parallel', t.key, -1) <= 0 then
    redis.call('HDEL', P .. 'parallel', t.key)
  end
  for _, budget in ipairs(t.budgets) do
    local name = budget_key(t.key, budget)
    if redis.call('HINCRBY', name, 'reserved', 0 - t.tokens) < 0 then -- (-0 is no integer to Redis)
      redis.call('DEL', name) -- its period was over long before this ticket, and it had expired
    elseif tokens > 0 then
      redis.call('HINCRBY', name, 'used', tokens)
    end
  end
  if t.minute and tokens ~= t.tokens then
    local windows = read_windows(t.key)
    correct(windows.tokens, t.minute, tokens - t.tokens)
    write_windows(t.key, windows)
  end
end

local function remaining(limit, w)
  return math.max(0, math.floor(limit - used_of(w) + TOLERANCE))
end

-- What is left: requests and their reset, tokens and their reset.
local function allowance(t, windows)
  local known = {}
  for i, budget in ipairs(t.budgets) do
    known[i] = budget.floor
  end
  if not windows then
    return known[1] and { budgets = known } or nil
  end
  return {
    budgets = known,
    requests = t.rpm and remaining(t.rpm, windows.requests),
    requests_reset = t.rpm and reset_of(windows.requests),
    tokens = t.tpm and remaining(t.tpm, windows.tokens),
    tokens_reset = t.tpm and reset_of(windows.tokens),
  }
end
