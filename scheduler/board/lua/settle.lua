-- ARGV[2], ARGV[3]: holder and id; ARGV[4]: real tokens. ARGV[5]: the budgets to charge when the ticket is gone
-- (its lease ran out, or the data were lost); '' when a settling that may have been done is repeated.
local t = read_ticket(ARGV[2], ARGV[3])
local tokens = tonumber(ARGV[4])
if t then
  finish(t, tokens)
  commit()
elseif ARGV[5] ~= '' and tokens > 0 then
  local gone = cjson.decode(ARGV[5])
  for _, budget in ipairs(gone.budgets) do
    local name = budget_key(gone.key, budget)
    redis.call('HINCRBY', name, 'used', tokens)
    keep_budget(name, budget.ends_in)
  end
end
return ''
