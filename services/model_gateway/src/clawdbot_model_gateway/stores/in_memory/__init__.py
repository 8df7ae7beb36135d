"""Stores of a single process, which forgets them when it ends: for tests and experiments."""
