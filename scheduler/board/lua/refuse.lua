-- args[2]: model; args[3]: context above which; args[4]: reason; args[5]: detail. How many were refused.
operation('refuse', function(args)
  local count = 0
  each_waiting(args[2], function(t)
    if t.num_ctx > tonumber(args[3]) then
      turn_away(t, { reason = args[4], detail = args[5] })
      count = count + 1
    end
  end)
  commit()
  return count
end)
