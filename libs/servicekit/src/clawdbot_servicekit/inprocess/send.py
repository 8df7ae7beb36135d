"""How a call sends its requests: a single one, or a stream that is written or taken from an iterator."""

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
"""gRPC's own texts."""

Requests = AsyncIterable[Any] | Iterable[Any]


class SingleRequestCall(InProcessCall):
    """A call with a single request."""

    def send(self, request: Any) -> None:
        """Sends the request."""
        self._rpc.send_request(self._encode(request))
        self._rpc.requests.close()


class StreamingRequestCall(InProcessCall):
    """A call whose requests are written or taken from an iterator, but not both."""

    _sender: asyncio.Task[None] | None = None

    def send(self, requests: Requests | None) -> None:
        """Starts to send what the iterator yields; None if the requests will be written."""
        if requests is not None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all(requests))
            # An iterator that waits for something must not outlive its call.
            self._rpc.add_done_callback(self._sender.cancel)

    async def write(self, request: Any) -> None:
        """Sends one more request; waits while the servicer does not keep up."""
        self._refuse_mixing()
        await self._write(request)

    async def done_writing(self) -> None:
        """Ends the stream of requests."""
        self._refuse_mixing()
        self._rpc.requests.close()

    def _refuse_mixing(self) -> None:
        if self._sender is not None:
            raise grpc.aio.UsageError(STYLES_MIXED)

    async def _write(self, request: Any) -> None:
        rpc = self._rpc
        if rpc.status is not None:
            raise asyncio.InvalidStateError(FINISHED)
        if rpc.requests.closed and rpc.server_status is None:
            raise asyncio.InvalidStateError(HALF_CLOSED)
        message = self._encode(request)
        try:
            await rpc.requests.writable()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if rpc.status is not None:
            await self._raise_for_status()
        rpc.send_request(message)

    async def _send_all(self, requests: Requests) -> None:
        try:
            if isinstance(requests, AsyncIterable):
                async for each in requests:
                    await self._write(each)
            else:
                for each in requests:
                    await self._write(each)
            self._rpc.requests.close()
        except grpc.aio.AioRpcError:
            return  # the call has failed, and raises this where it is awaited
        except asyncio.InvalidStateError:
            self.cancel()
        except asyncio.CancelledError:
            self.cancel()
            raise
        except Exception:  # noqa: BLE001 - whatever the iterator raises, the call cannot continue
            structlog.get_logger(__name__).debug("request_iterator_failed", exc_info=True)
            self.cancel()
