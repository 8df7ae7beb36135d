"""Decodes a streamed reply of the Responses API, from the bytes of its server-sent events to our events."""

from __future__ import annotations

from typing import Final

import orjson
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.responses.response import ResponseDecoder
from clawdbot_model_gateway.formats.sse import EventParser, ServerSentEvent
from clawdbot_model_gateway.http.response_stream import StreamDecoder

DONE: Final = b"[DONE]"
"""What some servers send, as for Chat Completions. It ends the stream without a reason."""


class ResponsesStreamDecoder(StreamDecoder):
    """Decodes one stream. The events do not depend on how the network cuts the bytes."""

    awaiting_end: Final = False
    """Always False: the event with the finish reason is the last one and ends the stream."""
    finished: bool = False

    def __init__(self, decoder: ResponseDecoder) -> None:
        self._parser = EventParser()
        self._decoder = decoder

    @property
    @override
    def started(self) -> bool:
        return self._decoder.has_content or bool(self._decoder.finish_reason)

    @override
    def feed(self, data: bytes, out: list[Event]) -> None:
        self._decode_all(self._parser.feed(data), out)

    @override
    def end(self, out: list[Event]) -> None:
        """Without the API's last event the reply is TRUNCATED."""
        self._decode_all(self._parser.end(), out)
        if not self.finished:
            self._finish(out)

    def _decode_all(self, server_events: list[ServerSentEvent], out: list[Event]) -> None:
        for server_event in server_events:
            if self.finished:
                return
            if server_event.data.strip() == DONE:
                self._finish(out)
                return
            try:
                event = orjson.loads(server_event.data)
            except orjson.JSONDecodeError:
                raise ProtocolViolation("an event of the stream is not valid JSON") from None
            out += self._decoder.decode(event, server_event.name.decode("utf-8", "replace"))
            if self._decoder.finish_reason:
                self._finish(out)

    def _finish(self, out: list[Event]) -> None:
        if not self.started:
            raise ProtocolViolation("the stream ended before the reply began")
        self.finished = True
        out += self._decoder.finish()
