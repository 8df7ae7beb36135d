"""The audit log: what happened, for whom and when, never what was said; its lines are chained by hashes."""

from clawdbot_plugins.builtin.audit_log.observers import plugin
from clawdbot_plugins.builtin.audit_log.verification import BrokenLink, Verified, verify

__all__ = ["BrokenLink", "Verified", "plugin", "verify"]
