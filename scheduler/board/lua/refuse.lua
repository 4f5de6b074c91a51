-- ARGV[2]: model; ARGV[3]: context above which; ARGV[4]: reason; ARGV[5]: detail. How many were refused.
local count = 0
each_waiting(ARGV[2], function(t)
  if t.num_ctx > tonumber(ARGV[3]) then
    turn_away(t, { reason = ARGV[4], detail = ARGV[5] })
    count = count + 1
  end
end)
commit()
return count
