"""grpc.aio.Channel to an InProcessServer in the same loop."""

from __future__ import annotations

from clawdbot_servicekit.inprocess.server import InProcessServer


class InProcessChannel:
    """A channel that needs no socket: `InProcessChannel(server)`, then `await channel.close(grace)`."""

    def __init__(self, server: InProcessServer) -> None:
        raise NotImplementedError
