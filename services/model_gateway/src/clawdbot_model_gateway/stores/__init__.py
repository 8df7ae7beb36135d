"""Implementations of the gateway's stores."""
