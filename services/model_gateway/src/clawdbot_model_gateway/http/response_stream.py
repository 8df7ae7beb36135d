"""Reads a streamed response and yields its events: one loop for all vendors' streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from clawdbot_model_gateway.core.errors import BackendFailed, BackendTimeout, ModelError, ProtocolViolation
from clawdbot_model_gateway.core.events import Event, has_content, merge_deltas
from clawdbot_model_gateway.http.exchange import Response
from clawdbot_model_gateway.http.pool import HttpPool
from clawdbot_model_gateway.http.whole_bodies import BYTE_ORDER_MARK, JSON_BEGINS

FINISH_TIMEOUT: Final = 2.0
"""Seconds that usage and the end of the stream may take after the finish reason; then the reply counts as
complete without them."""

UNSURE_FACTOR: Final = 10
"""How many times longer it may take if more of the reply may follow: some vendors send a finish reason with
every piece."""


class StreamDecoder(Protocol):
    """Decodes chunks of bytes into events. Where the network splits the bytes MUST make no difference."""

    @property
    def started(self) -> bool:
        """Whether any part of the reply has arrived."""

    @property
    def awaiting_end(self) -> bool:
        """Whether all content and the finish reason have arrived, and the end may still take a while."""

    @property
    def may_end(self) -> bool:
        """Whether the finish reason has arrived, so that the reply is complete if nothing more comes."""

    @property
    def finished(self) -> bool:
        """Whether the last events have been decoded."""

    def feed(self, chunk: bytes, events: list[Event], /) -> None:
        """Appends the events that the chunk completes, also those before a ModelError that it raises."""

    def end(self, events: list[Event], /) -> None:
        """Appends the last events when the connection ends. MUST raise ModelError if no reply has begun."""


@dataclass(frozen=True, slots=True)
class OpenResponse:
    """A response whose headers have arrived."""

    response: Response
    stream: StreamDecoder
    content_type: str | None = "text/event-stream"
    """The content type of a stream; None where servers differ."""
    decode_whole: Callable[[bytes], list[Event]] | None = None
    """Decodes a response that is one JSON document, whatever its content type: some servers cannot stream,
    and some label their streams as JSON. None: JSON is a stream."""


async def stream_events(pool: HttpPool, ask: Callable[[], Awaitable[OpenResponse]]) -> AsyncGenerator[Event]:
    """The events of a response. Leaving early closes the connection, which tells the backend to stop.

    Args:
        pool: the pool of the connection.
        ask: sends the request.
    """
    opened = await ask()
    response, stream, finished = opened.response, opened.stream, False
    quiet_since: float | None = None
    try:
        head = b""
        if opened.decode_whole is not None:
            head = await _read_head(pool, response)
            if head.lstrip()[:1] in JSON_BEGINS:
                events = opened.decode_whole(await pool.read(response, head))
                finished = True
                for event in events:
                    yield event
                return
        while not finished:
            arrived: list[Event] = []
            error = None
            try:
                if head:
                    stream.feed(head, arrived)
                    head = b""
                else:
                    quiet = 0.0 if quiet_since is None else time.monotonic() - quiet_since
                    await _read_events(pool, opened, arrived, quiet=quiet)
            except ModelError as raised:
                error = raised
            finished = stream.finished
            content = any(map(has_content, arrived))
            for event in merge_deltas(arrived):
                yield event
            if error is not None:
                # After the events that came with it: where the network splits the stream makes no difference.
                raise error
            if content:
                # After the reader has taken it, who may be slow.
                quiet_since = time.monotonic()
    finally:
        (pool.release if finished else pool.abort)(response)


async def _read_head(pool: HttpPool, response: Response) -> bytes:
    """The content up to its first visible character, or all of it."""
    head = b""
    while not head.strip():
        chunk = await pool.read_chunk(response)
        if not chunk:
            break
        head += chunk
    return head.removeprefix(BYTE_ORDER_MARK)


async def _read_events(pool: HttpPool, opened: OpenResponse, arrived: list[Event], *, quiet: float) -> None:
    """Appends the events of the next chunk; the last content came `quiet` seconds ago."""
    response, stream = opened.response, opened.stream
    try:
        if quiet > pool.idle_timeout:
            raise BackendTimeout("signs of life, but no content for longer than idle_timeout")
        read = pool.read_chunk(response)
        seconds = FINISH_TIMEOUT if stream.awaiting_end else FINISH_TIMEOUT * UNSURE_FACTOR
        chunk = await (_within(seconds, read) if stream.may_end else read)
    except BackendFailed:
        if not stream.started:
            raise
        # The connection broke: what has arrived is kept, and the finish reason says that it is truncated.
        chunk = b""
    except BackendTimeout:
        if not stream.may_end:
            raise
        chunk = b""
    if chunk:
        stream.feed(chunk, arrived)
        return
    if not stream.started and opened.content_type not in {None, response.content_type}:
        raise ProtocolViolation(f"the response is {response.content_type}, not an event stream")
    stream.end(arrived)


async def _within(seconds: float, read: Awaitable[bytes]) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await read
    except TimeoutError:
        return b""
