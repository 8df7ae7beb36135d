"""What every Clawdbot service stands on.

Import the module you need; this package itself imports nothing, so that a domain may use `faults`, `caller`
and `deadline` without drawing gRPC in.
"""
