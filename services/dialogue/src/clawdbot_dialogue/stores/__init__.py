"""Session stores. Each keeps the contract of core.sessions.store."""
