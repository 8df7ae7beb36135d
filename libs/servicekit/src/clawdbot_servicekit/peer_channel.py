"""A channel to another service over the network: every call bears who it is made for.

It stands before a plain grpc.aio channel and adds headers without an interceptor, which would cost a task per
call. When the certificates change it makes a new channel and lets the old one finish its calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self

import grpc
import grpc.aio

from clawdbot_servicekit import tracing
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.identity import TENANT_HEADER
from clawdbot_servicekit.tls import Certificates, channel_credentials

Options = Sequence[tuple[str, Any]]

LOOK_EVERY: Final = 10.0
"""Seconds between two looks at the certificates' files."""


class OutgoingChannel(grpc.aio.Channel):
    """To one address, with the service token, the running call's tenant and fresh certificates."""

    def __init__(
        self,
        address: str,
        options: Options,
        token: str | None,
        certificates: Certificates | None,
        grace: float,
    ) -> None:
        """Args: grace: seconds that calls on a replaced channel may still take."""
        self._address = address
        self._options = options
        self._authorization = (("authorization", f"Bearer {token}"),) if token else ()
        self._certificates = certificates
        self._grace = grace
        self._looked = time.monotonic()
        self._closing: set[asyncio.Task[None]] = set()
        self._channel = self._open()

    def current(self) -> grpc.aio.Channel:
        """The channel under this one, made anew where the certificates have changed."""
        if self._certificates is not None and time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            if self._certificates.changed():
                self._retire(self._channel)
                self._channel = self._open()
        return self._channel

    def headers(self, metadata: Iterable[tuple[str, Any]] | None) -> tuple[tuple[str, Any], ...]:
        """The call's own metadata, and who it is made for."""
        own = (*(metadata or ()), *tracing.headers())
        if not self._authorization:
            return own
        return (*own, *self._authorization, (TENANT_HEADER, current_caller().tenant))

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As grpc.aio.Channel's."""
        return _Calls(self, lambda channel: channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As grpc.aio.Channel's."""
        return _Calls(self, lambda channel: channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As grpc.aio.Channel's."""
        return _Calls(self, lambda channel: channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As grpc.aio.Channel's."""
        return _Calls(self, lambda channel: channel.stream_stream(*args, **kwargs))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """As grpc.aio.Channel's."""
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """As grpc.aio.Channel's."""
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """As grpc.aio.Channel's."""
        await self.current().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Closes this channel and those it replaced."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(self) -> grpc.aio.Channel:
        if self._certificates is None:
            return grpc.aio.insecure_channel(self._address, self._options)
        return grpc.aio.secure_channel(self._address, channel_credentials(self._certificates), self._options)

    def _retire(self, channel: grpc.aio.Channel) -> None:
        async def close() -> None:
            try:
                await channel.close(self._grace)
            except asyncio.CancelledError:
                await channel.close(None)
                raise

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Calls:
    """A method of the far service, bound to whatever channel is current when it is called."""

    def __init__(self, outgoing: OutgoingChannel, bind: Callable[[grpc.aio.Channel], Any]) -> None:
        self._outgoing = outgoing
        self._bind = bind
        self._channel = outgoing.current()
        self._call = bind(self._channel)

    def __call__(
        self, *request: Any, metadata: Iterable[tuple[str, Any]] | None = None, **options: Any
    ) -> Any:
        """As the grpc.aio multi-callable's."""
        channel = self._outgoing.current()
        if channel is not self._channel:
            self._channel, self._call = channel, self._bind(channel)
        return self._call(*request, metadata=self._outgoing.headers(metadata), **options)
