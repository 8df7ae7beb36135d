"""gRPC without a socket: a channel that dispatches to handlers registered in the same loop.

Deadlines, metadata, cancellation, status and back-pressure are as over TCP; one conformance suite
(tests/contract/channel) holds both to it. Identity is not asked for again: the callee works for the caller's
caller.
"""

from clawdbot_servicekit.inprocess.channel import InProcessChannel
from clawdbot_servicekit.inprocess.server import InProcessServer

__all__ = ["InProcessChannel", "InProcessServer"]
