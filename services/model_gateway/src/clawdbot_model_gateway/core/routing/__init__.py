"""Names of models become targets: the table, rules, balancing, and what operators have changed at runtime."""
