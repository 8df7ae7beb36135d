"""Stores in files of the state directory, shared by all workers of a machine, across restarts."""
