"""A streamed answer, from the connection to the events: the loop that every vendor's stream is read by."""

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
"""Seconds that usage and the stream's own end may take after the finish reason; then the reply counts as
whole without them."""

JSON: Final = "application/json"


class VendorStream(Protocol):
    """Turns pieces into events, as the network brings them; where they are cut MUST make no difference."""

    @property
    def begun(self) -> bool:
        """Whether anything of the reply has come."""

    @property
    def nearly_over(self) -> bool:
        """Whether the model has said why it ended, after which nothing of the reply comes."""

    @property
    def over(self) -> bool:
        """Whether the last events have been given."""

    def feed(self, piece: bytes, found: list[Event]) -> None:
        """Adds the events that the piece completes; a ModelFailure MUST come after what came before it."""

    def end(self, found: list[Event]) -> None:
        """Adds the last events at the connection's end; MUST raise ModelFailure where nothing began."""


@dataclass(frozen=True, slots=True)
class Answering:
    """An answer whose head has come."""

    response: aiohttp.ClientResponse
    stream: VendorStream
    media: str | None = "text/event-stream"
    """What a stream's content type is; None: servers differ."""
    whole: Callable[[bytes], list[Event]] | None = None
    """Reads an answer that came as JSON at once: some servers cannot stream. None: JSON is the stream."""


async def streamed(pool: HttpPool, ask: Callable[[], Awaitable[Answering]]) -> AsyncGenerator[Event]:
    """The events of an answer. Left early it closes the connection, which tells the backend to stop.

    Args:
        pool: whose connection it is.
        ask: sends the request.
    """
    answering = await ask()
    response, stream, over = answering.response, answering.stream, False
    try:
        if answering.whole is not None and response.content_type == JSON:
            events = answering.whole(await pool.read(response))
            over = True
            for event in events:
                yield event
            return
        while not over:
            found: list[Event] = []
            broken = None
            try:
                await _next(pool, answering, found)
            except ModelFailure as failure:
                broken = failure
            over = stream.over
            for event in merged(found):
                yield event
            if broken is not None:
                # After what came with it: how the network cuts the stream must make no difference.
                raise broken
    finally:
        (pool.done if over else pool.leave)(response)


async def _next(pool: HttpPool, answering: Answering, found: list[Event]) -> None:
    """Adds the events of the next piece."""
    response, stream = answering.response, answering.stream
    try:
        piece = await _piece(pool, answering)
    except BackendFailed:
        if not stream.begun:
            raise
        # It broke off in the middle: what was said stands, and the reason says that it is not whole.
        piece = b""
    if piece:
        stream.feed(piece, found)
        return
    if not stream.begun and answering.media not in {None, response.content_type}:
        raise ProtocolViolation(f"it answered {response.content_type} instead of a stream of events")
    stream.end(found)


async def _piece(pool: HttpPool, answering: Answering) -> bytes:
    if not answering.stream.nearly_over:
        return await pool.piece(answering.response)
    try:
        async with asyncio.timeout(AFTER_THE_REASON):
            return await pool.piece(answering.response)
    except TimeoutError:
        return b""
