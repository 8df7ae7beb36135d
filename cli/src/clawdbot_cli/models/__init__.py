"""`clawdbot models`: what models there are, whether one works, and how long a text is for it."""
