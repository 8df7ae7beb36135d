"""`clawdbot models`: lists models, tests one, counts tokens, and shows what was used."""
