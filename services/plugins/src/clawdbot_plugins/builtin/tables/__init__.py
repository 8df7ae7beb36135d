"""Tables: the example plugin.

It finds and reserves tables of a small restaurant, and never gives one away twice.
"""

from clawdbot_plugins.builtin.tables.tools import plugin

__all__ = ["plugin"]
