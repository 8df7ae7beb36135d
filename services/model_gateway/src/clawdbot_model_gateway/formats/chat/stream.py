"""A streamed reply, from the bytes of its events to ours."""

from __future__ import annotations

from typing import Final

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.response import ReplyReader
from clawdbot_model_gateway.formats.sse import EventParser, ServerEvent
from clawdbot_model_gateway.http import VendorErrors

LAST: Final = b"[DONE]"


class ChatStream:
    """Takes pieces as the network brings them; where they are cut makes no difference."""

    def __init__(self, reader: ReplyReader, errors: VendorErrors) -> None:
        self._parser = EventParser()
        self._reader = reader
        self._errors = errors
        self.over = False
        """Whether the last events have been given."""

    @property
    def begun(self) -> bool:
        """Whether anything of the reply has come."""
        return self._reader.said or bool(self._reader.word)

    @property
    def nearly_over(self) -> bool:
        """Whether the model has said why it ended, after which nothing of the reply comes."""
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
        if not self.over:
            self._finish(found)

    def _take(self, arrived: list[ServerEvent], found: list[Event]) -> None:
        for each in arrived:
            if self.over:
                return
            if each.data.strip() == LAST:
                self._finish(found)
                return
            try:
                chunk = orjson.loads(each.data)
            except orjson.JSONDecodeError:
                raise ProtocolViolation("an event of its stream is no JSON") from None
            if each.name == b"error" and isinstance(chunk, dict):
                raise self._errors.in_band(chunk)
            found += self._reader.take(chunk)

    def _finish(self, found: list[Event]) -> None:
        if not self.begun:
            raise ProtocolViolation("the stream ended before the reply began")
        self.over = True
        found += self._reader.end()
