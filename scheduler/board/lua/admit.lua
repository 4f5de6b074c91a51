-- args[2]: the ticket. Returns a seat, a place or a refusal.
operation('admit', function(args)
  local answer = admit(cjson.decode(args[2]))
  commit()
  return cjson.encode(answer)
end)
