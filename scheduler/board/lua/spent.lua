-- ARGV[2]: key; ARGV[3]: the budget, its floor the tokens that the records know of.
read_budget(ARGV[2], cjson.decode(ARGV[3]))
return ''
