"""Reads a streamed response and yields its events: one loop for all vendors' streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp

from clawdbot_model_gateway.core.errors import BackendFailed, ModelFailure, ProtocolViolation
from clawdbot_model_gateway.core.events import Event, merged
from clawdbot_model_gateway.http.pool import HttpPool

AFTER_THE_REASON: Final = 2.0
"""Seconds that usage and the end of the stream may take after the finish reason; then the reply counts as
complete without them."""

JSON: Final = "application/json"


class VendorStream(Protocol):
    """Decodes chunks of bytes into events. Where the network splits the bytes MUST make no difference."""

    @property
    def begun(self) -> bool:
        """Whether any part of the reply has arrived."""

    @property
    def nearly_over(self) -> bool:
        """Whether the finish reason has arrived, and the end of the stream may still take a while."""

    @property
    def over(self) -> bool:
        """Whether the last events have been decoded."""

    def feed(self, chunk: bytes, events: list[Event], /) -> None:
        """Appends the events that the chunk completes, also those before a ModelError that it raises."""

    def end(self, events: list[Event], /) -> None:
        """Appends the last events when the connection ends. MUST raise ModelError if no reply has begun."""


@dataclass(frozen=True, slots=True)
class Answering:
    """A response whose headers have arrived."""

    response: aiohttp.ClientResponse
    stream: VendorStream
    media: str | None = "text/event-stream"
    """The content type of a stream; None where servers differ."""
    whole: Callable[[bytes], list[Event]] | None = None
    """Decodes a response that is one JSON document: some servers cannot stream. None: JSON is a stream."""


async def streamed(pool: HttpPool, ask: Callable[[], Awaitable[Answering]]) -> AsyncGenerator[Event]:
    """The events of a response. Leaving early closes the connection, which tells the backend to stop.

    Args:
        pool: the pool of the connection.
        ask: sends the request.
    """
    opened = await ask()
    response, stream, finished = opened.response, opened.stream, False
    try:
        if opened.whole is not None and response.content_type == JSON:
            events = opened.whole(await pool.read(response))
            finished = True
            for event in events:
                yield event
            return
        while not finished:
            arrived: list[Event] = []
            error = None
            try:
                await _read_events(pool, opened, arrived)
            except ModelFailure as raised:
                error = raised
            finished = stream.over
            for event in merged(arrived):
                yield event
            if error is not None:
                # After the events that came with it: where the network splits the stream makes no difference.
                raise error
    finally:
        (pool.done if finished else pool.leave)(response)


async def _read_events(pool: HttpPool, opened: Answering, arrived: list[Event]) -> None:
    """Appends the events of the next chunk."""
    response, stream = opened.response, opened.stream
    try:
        chunk = await _read_chunk(pool, opened)
    except BackendFailed:
        if not stream.begun:
            raise
        # The connection broke: what has arrived is kept, and the finish reason says that it is truncated.
        chunk = b""
    if chunk:
        stream.feed(chunk, arrived)
        return
    if not stream.begun and opened.media not in {None, response.content_type}:
        raise ProtocolViolation(f"the response is {response.content_type}, not an event stream")
    stream.end(arrived)


async def _read_chunk(pool: HttpPool, opened: Answering) -> bytes:
    if not opened.stream.nearly_over:
        return await pool.piece(opened.response)
    try:
        async with asyncio.timeout(AFTER_THE_REASON):
            return await pool.piece(opened.response)
    except TimeoutError:
        return b""
