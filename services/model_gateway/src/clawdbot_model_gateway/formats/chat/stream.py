"""Decodes a streamed reply of Chat Completions, from the bytes of its server-sent events to our events."""

from __future__ import annotations

from typing import Final

import orjson
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.response import ResponseDecoder
from clawdbot_model_gateway.formats.sse import EventParser, ServerSentEvent
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.response_stream import StreamDecoder

DONE: Final = b"[DONE]"
"""The data of the last event."""


class ChatStreamDecoder(StreamDecoder):
    """Decodes one stream. The events do not depend on how the network cuts the bytes."""

    finished: bool = False

    def __init__(self, decoder: ResponseDecoder, errors: ErrorMapper) -> None:
        self._parser = EventParser()
        self._decoder = decoder
        self._errors = errors

    @property
    @override
    def started(self) -> bool:
        return self._decoder.has_content or bool(self._decoder.finish_reason)

    @property
    @override
    def awaiting_end(self) -> bool:
        return bool(self._decoder.finish_reason)

    @override
    def feed(self, data: bytes, out: list[Event]) -> None:
        self._decode_all(self._parser.feed(data), out)

    @override
    def end(self, out: list[Event]) -> None:
        """Without a finish reason the reply is TRUNCATED."""
        self._decode_all(self._parser.end(), out)
        if not self.finished:
            self._finish(out)

    def _decode_all(self, server_events: list[ServerSentEvent], out: list[Event]) -> None:
        for event in server_events:
            if self.finished:
                return
            if event.data.strip() == DONE:
                self._finish(out)
                return
            try:
                chunk = orjson.loads(event.data)
            except orjson.JSONDecodeError:
                raise ProtocolViolation("an event of the stream is not valid JSON") from None
            if event.name == b"error" and isinstance(chunk, dict):
                raise self._errors.from_payload(chunk)
            out += self._decoder.decode(chunk)

    def _finish(self, out: list[Event]) -> None:
        if not self.started:
            raise ProtocolViolation("the stream ended before the reply began")
        self.finished = True
        out += self._decoder.finish()
