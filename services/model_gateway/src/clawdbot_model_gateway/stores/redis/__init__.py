"""Stores in Redis or Valkey, shared by all replicas."""
