-- args[2], args[3]: holder and id of a ticket that waits. Its seat, its place, its refusal (fetched once), or ''.
operation('look', function(args)
  local t = read_ticket(args[2], args[3])
  if not t then
    return ''
  end
  if t.member and t.deadline <= now then
    turn_away(t, too_late(t))
  end
  local answer = standing(t)
  commit()
  return cjson.encode(answer)
end)
