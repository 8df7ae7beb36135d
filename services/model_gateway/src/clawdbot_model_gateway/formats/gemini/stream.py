"""Decodes a streamed reply of the Gemini API. The stream ends with the connection: there is no [DONE]."""

from __future__ import annotations

import orjson
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.gemini.response import ResponseDecoder
from clawdbot_model_gateway.formats.sse import EventParser, ServerSentEvent
from clawdbot_model_gateway.http.response_stream import StreamDecoder


class GeminiStreamDecoder(StreamDecoder):
    """Decodes one stream. The events do not depend on how the network cuts the bytes."""

    finished: bool = False

    def __init__(self, decoder: ResponseDecoder) -> None:
        self._parser = EventParser()
        self._decoder = decoder

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
        if not self.started:
            raise ProtocolViolation("the stream ended before the reply began")
        self.finished = True
        out += self._decoder.finish()

    def _decode_all(self, server_events: list[ServerSentEvent], out: list[Event]) -> None:
        for event in server_events:
            try:
                chunk = orjson.loads(event.data)
            except orjson.JSONDecodeError:
                raise ProtocolViolation("an event of the stream is not valid JSON") from None
            out += self._decoder.decode(chunk)
