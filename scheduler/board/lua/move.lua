-- args[2]: the ticket. Returns a seat, a place or a refusal.
operation('move', function(args)
  local answer = move(cjson.decode(args[2]))
  commit()
  return cjson.encode(answer)
end)
