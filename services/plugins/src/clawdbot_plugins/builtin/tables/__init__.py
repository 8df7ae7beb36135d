"""Tables: the example plugin.

It finds and reserves tables of a small restaurant, and never books a table twice.
"""

from clawdbot_plugins.builtin.tables.tools import plugin

__all__ = ["plugin"]
