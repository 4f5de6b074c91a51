"""What usage adds up to and costs: sums for reports, budgets in money, and what is kept for how long."""
