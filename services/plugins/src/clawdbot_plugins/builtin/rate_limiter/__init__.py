"""The rate limiter: limits the turns, generations and tool calls of an API key over time."""

from clawdbot_plugins.builtin.rate_limiter.gates import plugin

__all__ = ["plugin"]
