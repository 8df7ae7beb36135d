"""A channel to another service over the network. It adds to every call the credentials and the tenant.

It wraps a plain grpc.aio channel instead of using an interceptor, which would cost a task per call. When the
certificates change it opens a new channel and lets the old one finish its calls.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self

import grpc
import grpc.aio
from typing_extensions import override

from clawdbot_servicekit import tracing
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.identity import TENANT_HEADER
from clawdbot_servicekit.method_options import is_retryable
from clawdbot_servicekit.tls import Certificates, channel_credentials

Options = Sequence[tuple[str, Any]]
"""Channel arguments of gRPC."""

CHECK_INTERVAL: Final = 10.0
"""Seconds between two checks whether the certificate files have changed."""

MAX_CONNECTIONS: Final = 100
"""Connections to one address of a peer."""


class PeerChannel(grpc.aio.Channel):
    """A channel to one address, with the service token, the running call's tenant and current certificates.

    It opens with the first call: by then the stubs have registered their methods, and the contracts say which
    of them gRPC may retry.
    """

    def __init__(
        self,
        address: str,
        options: Options,
        token: str | None,
        certificates: Certificates | None,
        grace: float,
    ) -> None:
        """A channel that connects on its first call.

        Args:
            address: a gRPC target.
            options: channel arguments, except for the service config.
            token: the service token; None for no credentials.
            certificates: for TLS; None for plain text.
            grace: seconds that calls on a replaced channel may still take.
        """
        self._address = address
        self._options = options
        self._authorization = (("authorization", f"Bearer {token}"),) if token else ()
        self._certificates = certificates
        self._grace = grace
        self._checked_at = time.monotonic()
        self._closing: set[asyncio.Task[None]] = set()
        self._retryable: list[str] = []
        self._channel: grpc.aio.Channel | None = None

    def current(self) -> grpc.aio.Channel:
        """The underlying channel. It is opened on first use, and again when the certificates have changed."""
        if self._certificates is not None and time.monotonic() - self._checked_at > CHECK_INTERVAL:
            self._checked_at = time.monotonic()
            if self._certificates.changed():
                self._retire()
        if self._channel is None:
            self._channel = self._open()
        return self._channel

    def headers(self, metadata: Iterable[tuple[str, Any]] | None) -> tuple[tuple[str, Any], ...]:
        """The call's own metadata, the trace, the credentials and the tenant."""
        own = (*(metadata or ()), *tracing.headers())
        if not self._authorization:
            return own
        return (*own, *self._authorization, (TENANT_HEADER, current_caller().tenant))

    @override
    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._register(method)
        return _MultiCallable(self, lambda channel: channel.unary_unary(method, *args, **kwargs))

    @override
    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._register(method)
        return _MultiCallable(self, lambda channel: channel.unary_stream(method, *args, **kwargs))

    @override
    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._register(method)
        return _MultiCallable(self, lambda channel: channel.stream_unary(method, *args, **kwargs))

    @override
    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._register(method)
        return _MultiCallable(self, lambda channel: channel.stream_stream(method, *args, **kwargs))

    @override
    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.current().get_state(try_to_connect)

    @override
    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.current().wait_for_state_change(last_observed_state)

    @override
    async def channel_ready(self) -> None:
        await self.current().channel_ready()

    @override
    async def close(self, grace: float | None = None) -> None:
        """Closes this channel and those that it replaced."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.current().close(grace)

    @override
    async def __aenter__(self) -> Self:
        return self

    @override
    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _register(self, method: str) -> None:
        if is_retryable(method) and method not in self._retryable:
            self._retryable.append(method)
            # A stub that is made late: the service config of the open channel lacks its methods.
            self._retire()

    def _open(self) -> grpc.aio.Channel:
        options = (*self._options, ("grpc.service_config", json.dumps(service_config(self._retryable))))
        if self._certificates is None:
            return grpc.aio.insecure_channel(self._address, options)
        return grpc.aio.secure_channel(self._address, channel_credentials(self._certificates), options)

    def _retire(self) -> None:
        """Closes the open channel once its calls have ended; the next call opens another one."""
        if self._channel is None:
            return
        channel, self._channel = self._channel, None

        async def close() -> None:
            try:
                await channel.close(self._grace)
            except asyncio.CancelledError:
                await channel.close(None)
                raise

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _MultiCallable:
    """A method of the peer, bound to whichever channel is current when it is called."""

    def __init__(self, peer: PeerChannel, bind: Callable[[grpc.aio.Channel], Any]) -> None:
        self._peer = peer
        self._bind = bind
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None

    def __call__(
        self, *request: Any, metadata: Iterable[tuple[str, Any]] | None = None, **options: Any
    ) -> Any:
        """Calls the method, as a grpc.aio multi-callable does."""
        channel = self._peer.current()
        if channel is not self._channel:
            self._channel, self._call = channel, self._bind(channel)
        return self._call(*request, metadata=self._peer.headers(metadata), **options)


def service_config(retryable: Iterable[str]) -> dict[str, object]:
    """Round robin over all addresses of a name, and retries for these methods only.

    The format is gRPC's service config; see github.com/grpc/grpc/blob/master/doc/service_config.md.

    Args:
        retryable: "/package.Service/Method" of each method that may be retried after UNAVAILABLE.
    """
    names = []
    for method in retryable:
        service, _, name = method.lstrip("/").partition("/")
        names.append({"service": service, "method": name})
    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": retry}] if names else [],
        # After many errors retries stop until calls succeed again, so that they do not add to an overload.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
        # A server limits the calls on one connection (server.max_streams): further calls open another one.
        "connectionScaling": {"maxConnectionsPerSubchannel": MAX_CONNECTIONS},
    }
