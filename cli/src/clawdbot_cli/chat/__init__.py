"""`clawdbot chat`: a person, or a pipe, talks to the dialogue service."""
