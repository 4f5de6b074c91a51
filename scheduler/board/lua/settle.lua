-- args[2], args[3]: holder and id; args[4]: real tokens. args[5]: the budgets to charge when the ticket is gone
-- (its lease ran out, or the data were lost); '' when a settling that may have been done is repeated.
operation('settle', function(args)
  local t = read_ticket(args[2], args[3])
  local tokens = tonumber(args[4])
  if t then
    finish(t, tokens)
    commit()
  elseif args[5] ~= '' and tokens > 0 then
    local gone = cjson.decode(args[5])
    for _, budget in ipairs(gone.budgets) do
      local name = budget_key(gone.key, budget)
      redis.call('HINCRBY', name, 'used', tokens)
      keep_budget(name, budget.ends_in)
    end
  end
  return ''
end)
