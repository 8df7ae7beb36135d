"""gRPC without a socket: a channel that calls handlers in the same event loop.

Deadlines, metadata, cancellation, status and flow control are the same as over TCP; one conformance suite
(tests/contract/channel) runs on both. Identity is not checked again: the callee acts for its caller's caller.
"""

from clawdbot_servicekit.inprocess.channel import InProcessChannel
from clawdbot_servicekit.inprocess.server import InProcessServer

__all__ = ["InProcessChannel", "InProcessServer"]
