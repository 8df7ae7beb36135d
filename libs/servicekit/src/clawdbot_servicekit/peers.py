"""Channels to the other services: within this process, or over the network."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc.aio
from typing_extensions import override

from clawdbot_servicekit.application import Peers
from clawdbot_servicekit.host import Host
from clawdbot_servicekit.peer_channel import MAX_CONNECTIONS, Options, PeerChannel
from clawdbot_servicekit.settings.shared import ServerSettings, SharedSettings
from clawdbot_servicekit.settings.suite import PeerSettings
from clawdbot_servicekit.tls import peer_certificates

KEEPALIVE_INTERVAL: Final = 30.0
"""Seconds of silence before a ping; the server allows one every ten."""
KEEPALIVE_TIMEOUT: Final = 10.0
"""Seconds to wait for the answer to a ping before the connection counts as dead."""
RESOLUTION_INTERVAL: Final = 1.0
"""Minimum seconds between two look-ups of a peer's name. With gRPC's 30, a peer with a new address, as each
new pod has, would be missed for that long."""


class InProcessPeers(Peers):
    """Peers that run on the same host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @override
    def channel(self, service: str) -> grpc.aio.Channel:
        """The host's own channel, whatever the service."""
        del service
        return self._host.channel()

    async def close(self) -> None:
        """Does nothing: the channel belongs to the host."""


class NetworkPeers(Peers):
    """Peers at the addresses in the settings."""

    def __init__(self, settings: SharedSettings) -> None:
        """Checks the certificates; connects with the first call.

        Raises:
            StartupError: for certificates that cannot be used.
        """
        self._settings = settings
        peer_certificates(settings.tls)  # now, so that a bad file stops the start
        self._channels: dict[str, PeerChannel] = {}

    @override
    def channel(self, service: str) -> grpc.aio.Channel | None:
        """A channel to the service's address, made on first use; None where the settings have no address.

        Raises:
            KeyError: for a service that the settings do not know.
        """
        if service not in PeerSettings.model_fields:
            raise KeyError(service)
        address = getattr(self._settings.peers, service)
        if address is None:
            return None
        if service not in self._channels:
            token = self._settings.auth.service_token
            self._channels[service] = PeerChannel(
                address,
                channel_options(self._settings.server),
                token.get_secret_value() if token else None,
                peer_certificates(self._settings.tls),
                self._settings.server.max_deadline,
            )
        return self._channels[service]

    async def close(self) -> None:
        """Closes the channels; calls in flight end with CANCELLED."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
        self._channels.clear()


def channel_options(server: ServerSettings) -> Options:
    """Channel arguments towards a Clawdbot server; they must agree with server_factory.server_options."""
    return (
        ("grpc.max_send_message_length", server.max_message),
        ("grpc.max_receive_message_length", server.max_message),
        ("grpc.keepalive_time_ms", int(KEEPALIVE_INTERVAL * 1000)),
        ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.dns_min_time_between_resolutions_ms", int(RESOLUTION_INTERVAL * 1000)),
        ("grpc.max_connections_per_subchannel_cap", MAX_CONNECTIONS),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 5000),
    )
