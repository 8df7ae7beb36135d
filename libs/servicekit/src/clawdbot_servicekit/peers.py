"""The other services: in this process, or over the network."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import grpc.aio

from clawdbot_servicekit.host import Host
from clawdbot_servicekit.peer_channel import Options, OutgoingChannel
from clawdbot_servicekit.settings.shared import PeerSettings, ServerSettings, SharedSettings
from clawdbot_servicekit.tls import peer_certificates

SAFE: Final = {
    "clawdbot.dialogue.v1.DialogueService": ("GetSession", "ListSessions", "ListTurns"),
    "clawdbot.dialogue.v1.FlowService": ("ListFlows", "GetFlow", "ValidateFlow", "RenderFlow"),
    "clawdbot.model_gateway.v1.ModelGatewayService": ("Embed", "CountTokens"),
    "clawdbot.model_gateway.v1.ModelAdminService": ("ListModels", "GetModel", "ListBackends"),
    "clawdbot.plugins.v1.PluginService": ("ListPlugins", "GetPlugin", "SearchMarket"),
    "clawdbot.plugins.v1.ToolService": ("ListTools",),
    "clawdbot.plugins.v1.HookService": ("Modify",),
}
"""Methods that change nothing, which gRPC may repeat after UNAVAILABLE. Not Gate, though a retry is safe:
gates count. Not Generate: it costs money; the gateway itself decides what is tried again."""

KEEPALIVE: Final = 30.0
"""Seconds of silence before a ping; the server allows one every ten."""
KEEPALIVE_PATIENCE: Final = 10.0
"""Seconds for its answer, before the connection counts as dead."""


class InProcessPeers:
    """Peers that live on the same host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def channel(self, service: str) -> grpc.aio.Channel:
        """The host's own channel, whatever the service."""
        del service
        return self._host.channel()

    async def close(self) -> None:
        """Nothing: the channel is the host's."""


class NetworkPeers:
    """Peers at the addresses that the settings give."""

    def __init__(self, settings: SharedSettings) -> None:
        """Raises StartupError for certificates that cannot be used. Connects when first called."""
        self._settings = settings
        peer_certificates(settings.tls)  # now, so that a bad file stops the start
        self._channels: dict[str, OutgoingChannel] = {}

    def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to the service's address, made on first use.

        Raises:
            KeyError: for a name that is no service's.
        """
        if service not in PeerSettings.model_fields:
            raise KeyError(service)
        if service not in self._channels:
            token = self._settings.auth.service_token
            self._channels[service] = OutgoingChannel(
                getattr(self._settings.peers, service),
                channel_options(self._settings.server),
                token.get_secret_value() if token else None,
                peer_certificates(self._settings.tls),
                self._settings.server.max_deadline,
            )
        return self._channels[service]

    async def close(self) -> None:
        """Closes the channels; calls that are still out end with CANCELLED."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
        self._channels.clear()


def channel_options(server: ServerSettings) -> Options:
    """How a channel to a Clawdbot server behaves; agrees with host.server_options."""
    return (
        ("grpc.max_send_message_length", server.max_message),
        ("grpc.max_receive_message_length", server.max_message),
        ("grpc.keepalive_time_ms", int(KEEPALIVE * 1000)),
        ("grpc.keepalive_timeout_ms", int(KEEPALIVE_PATIENCE * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 5000),
        ("grpc.service_config", json.dumps(service_config())),
    )


def service_config() -> dict[str, object]:
    """Round robin over all addresses of a name, and retries for safe methods only.

    The format is gRPC's service config; see github.com/grpc/grpc/blob/master/doc/service_config.md.
    """
    names = [{"service": service, "method": each} for service, methods in SAFE.items() for each in methods]
    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": retry}],
        # After many failures retries stop until calls succeed again, so that they do not add to an overload.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
