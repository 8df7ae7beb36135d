"""What outlives a call or the process, in SQLite."""
