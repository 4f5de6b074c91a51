-- args[2]: key; args[3]: the budget, its floor the tokens that the records know of.
operation('spent', function(args)
  read_budget(args[2], cjson.decode(args[3]))
  return ''
end)
