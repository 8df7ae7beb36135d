"""The other services: in this process, or over the network."""

from __future__ import annotations

import grpc.aio

from clawdbot_servicekit.host import Host
from clawdbot_servicekit.settings import SharedSettings


class InProcessPeers:
    """Peers that live on the same host."""

    def __init__(self, host: Host) -> None:
        raise NotImplementedError

    def channel(self, service: str) -> grpc.aio.Channel:
        """The host's own channel, whatever the service."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing: the channel is the host's."""


class NetworkPeers:
    """Peers at the addresses that the settings give."""

    def __init__(self, settings: SharedSettings) -> None:
        raise NotImplementedError

    def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to the service's address, made on first use."""
        raise NotImplementedError

    async def close(self) -> None:
        """Closes the channels, letting calls in flight end for a moment."""
        raise NotImplementedError
