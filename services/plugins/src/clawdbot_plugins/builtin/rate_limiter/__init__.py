"""The rate limiter: how many turns, generations and tool calls a key may have in a span of time."""

from clawdbot_plugins.builtin.rate_limiter.gates import plugin

__all__ = ["plugin"]
