"""Anthropic's Messages API: requests in JSON, replies as named server-sent events."""
