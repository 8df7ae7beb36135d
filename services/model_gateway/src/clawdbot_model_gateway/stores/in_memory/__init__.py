"""What a gateway of one process remembers until it ends; for tests and trials."""
