"""SQLite files, each with the one thread that works on it."""
