"""How requests go out: one at once, or a stream that is written or taken from an iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from clawdbot_servicekit.inprocess.client_call import STYLES_MIXED, InProcessCall

FINISHED: Final = "RPC already finished."
HALF_CLOSED: Final = 'RPC is half closed after calling "done_writing".'

Requests = AsyncIterable[Any] | Iterable[Any]


class OneRequest(InProcessCall):
    """A call with a single request."""

    def send(self, request: Any) -> None:
        """Sends it."""
        self._exchange.request(self._encoded(request))
        self._exchange.requests.end()


class ManyRequests(InProcessCall):
    """A call whose requests are written, or taken from an iterator, but not both."""

    _poller: asyncio.Task[None] | None = None

    def send(self, requests: Requests | None) -> None:
        """Begins to send what the iterator yields; None: they will be written."""
        if requests is not None:
            self._poller = asyncio.get_running_loop().create_task(self._poll(requests))
            # An iterator that waits for something must not outlive the call that it is for.
            self._exchange.on_end(self._poller.cancel)

    async def write(self, request: Any) -> None:
        """Sends one more; waits while the servicer does not keep up."""
        self._refuse_mixing()
        await self._write(request)

    async def done_writing(self) -> None:
        """Says that no more will come."""
        self._refuse_mixing()
        self._exchange.requests.end()

    def _refuse_mixing(self) -> None:
        if self._poller is not None:
            raise grpc.aio.UsageError(STYLES_MIXED)

    async def _write(self, request: Any) -> None:
        exchange = self._exchange
        if exchange.status is not None:
            raise asyncio.InvalidStateError(FINISHED)
        if exchange.requests.ended and not exchange.answered:
            raise asyncio.InvalidStateError(HALF_CLOSED)
        message = self._encoded(request)
        try:
            await exchange.requests.writable()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if exchange.status is not None:
            await self._raise_for_status()
        exchange.request(message)

    async def _poll(self, requests: Requests) -> None:
        try:
            if isinstance(requests, AsyncIterable):
                async for each in requests:
                    await self._write(each)
            else:
                for each in requests:
                    await self._write(each)
            self._exchange.requests.end()
        except grpc.aio.AioRpcError:
            return  # the call has failed, as whoever awaits it is told
        except asyncio.InvalidStateError:
            self.cancel()
        except asyncio.CancelledError:
            self.cancel()
            raise
        except Exception:  # noqa: BLE001 - whatever the iterator raises, the call cannot go on
            structlog.get_logger(__name__).debug("request_iterator_failed", exc_info=True)
            self.cancel()
