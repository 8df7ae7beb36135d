"""`clawdbot models`: lists models, tests one, and counts tokens."""
