"""From the source model to a flow: resolves names, compiles texts and guards, checks slots and states."""
