"""The plugin service: tools and hooks that others add to Clawdbot."""
