"""A streamed reply, from the bytes of its events to ours. The connection's end is the stream's: no [DONE]."""

from __future__ import annotations

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.gemini.response import ReplyReader
from clawdbot_model_gateway.formats.sse import EventParser, ServerEvent


class GeminiStream:
    """Takes pieces as the network brings them; where they are cut makes no difference."""

    def __init__(self, reader: ReplyReader) -> None:
        self._parser = EventParser()
        self._reader = reader
        self.over = False
        """Whether the last events have been given."""

    @property
    def begun(self) -> bool:
        """Whether anything of the reply has come."""
        return self._reader.said or bool(self._reader.word)

    @property
    def nearly_over(self) -> bool:
        """Whether the model has said why it ended."""
        return bool(self._reader.word)

    def feed(self, piece: bytes, found: list[Event]) -> None:
        """Adds the events that the piece completes.

        Raises:
            ModelFailure: it brings an error, or what is not of this protocol; what came before is in `found`.
        """
        self._take(self._parser.feed(piece), found)

    def end(self, found: list[Event]) -> None:
        """Adds the last events, when the connection has ended. Without a finish reason it is TRUNCATED.

        Raises:
            ModelFailure: as for feed.
        """
        self._take(self._parser.end(), found)
        if not self.begun:
            raise ProtocolViolation("the stream ended before the reply began")
        self.over = True
        found += self._reader.end()

    def _take(self, arrived: list[ServerEvent], found: list[Event]) -> None:
        for each in arrived:
            try:
                chunk = orjson.loads(each.data)
            except orjson.JSONDecodeError:
                raise ProtocolViolation("an event of its stream is no JSON") from None
            found += self._reader.take(chunk)
