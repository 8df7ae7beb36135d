"""The audit log: a hash chain of what happened, for whom and when. It never contains what was said."""

from clawdbot_plugins.builtin.audit_log.observers import plugin
from clawdbot_plugins.builtin.audit_log.verification import BrokenLink, Verified, verify

__all__ = ["BrokenLink", "Verified", "plugin", "verify"]
