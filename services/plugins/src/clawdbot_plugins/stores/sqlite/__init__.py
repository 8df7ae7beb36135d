"""Stores in SQLite files, each with one thread that works on it."""
