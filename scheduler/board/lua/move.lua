-- ARGV[2]: the ticket. Returns a seat, a place or a refusal.
local answer = move(cjson.decode(ARGV[2]))
commit()
return cjson.encode(answer)
