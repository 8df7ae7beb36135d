"""The foundation of every Clawdbot service: server, in-process channel, call pipeline, settings, logs.

Import the module you need; this package itself imports nothing, so that a domain can use `errors`, `caller`
and `deadline` without importing gRPC.
"""
