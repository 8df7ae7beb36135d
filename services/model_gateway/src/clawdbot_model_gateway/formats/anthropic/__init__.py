"""Anthropic's Messages API: JSON in, named server-sent events out."""
