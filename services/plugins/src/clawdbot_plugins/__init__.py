"""The plugin service: runs the tools and hooks of plugins."""
