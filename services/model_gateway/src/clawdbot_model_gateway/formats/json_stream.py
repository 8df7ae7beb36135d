"""Decodes a stream of JSON records, from its bytes to our events: one reader for all vendors' streams.

What differs is how records are told apart (sse.py, ndjson.py), and what they mean (a vendor's ReplyDecoder).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from typing_extensions import override

from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.http.response_stream import StreamDecoder

KEEP_ALIVE: Final = frozenset(
    {b"ping", b"pong", b"heartbeat", b"keepalive", b"keep-alive", b"keep_alive", b"processing"}
)
"""Names of events, and records in lower case, that only keep the connection alive."""


class Record(NamedTuple):
    """One record of a stream."""

    data: bytes
    name: bytes = b""
    """The kind of a server-sent event, which its `event` line names; empty without one."""


class RecordParser(Protocol):
    """Takes bytes as they arrive and returns complete records, wherever the network cuts the bytes."""

    def feed(self, data: bytes, /) -> list[Record]:
        """The records that end in this data. MUST raise ProtocolViolation for one that never ends."""

    def end(self) -> list[Record]:
        """The last record, when the connection ended before the record did."""


class JsonStreamDecoder(StreamDecoder):
    """Decodes one stream. The events do not depend on how the network cuts the bytes."""

    finished: bool = False

    def __init__(self, parser: RecordParser, reply: ReplyDecoder) -> None:
        self._parser = parser
        self._reply = reply
        self._last: Any = None
        """The last record of a reply that has not begun."""

    @property
    @override
    def started(self) -> bool:
        return self._reply.begun

    @property
    @override
    def awaiting_end(self) -> bool:
        return self._reply.end_is_optional and self._reply.at_end

    @property
    @override
    def may_end(self) -> bool:
        return self._reply.end_is_optional and bool(self._reply.finish_reason)

    @override
    def feed(self, chunk: bytes, events: list[Event]) -> None:
        # Not a `with`, which costs more than it saves: each chunk of each stream passes here.
        try:
            self._decode(self._parser.feed(chunk), events)
        except Exception as error:  # noqa: BLE001 - see `fail`
            self._reply.fail(error)

    @override
    def end(self, events: list[Event]) -> None:
        """Drops a last record that the end of the connection cut in two."""
        try:
            self._decode(filter(self._is_complete, self._parser.end()), events)
            if not self.finished:
                self._finish(events)
        except Exception as error:  # noqa: BLE001 - see `fail`
            self._reply.fail(error)

    def _decode(self, records: Iterable[Record], events: list[Event]) -> None:
        reply = self._reply
        for record in records:
            if self.finished:
                return
            if record.name and record.name.lower() in KEEP_ALIVE:
                continue
            try:
                data = reply.load(record.data)
            except ValueError:
                data = record.data.decode("utf-8", "replace")
            if not isinstance(data, dict):
                if self._ended_by(record, data, events):
                    return
                continue
            if not reply.begun:
                self._last = data
            reply.decode(data, record.name, events)
            if reply.ended:
                self._finish(events)

    def _ended_by(self, record: Record, data: Any, events: list[Event]) -> bool:
        """Whether a record that is not part of the reply ends it, which it then does; else it means nothing.

        Raises:
            ModelError: it is rubbish in the middle of a reply.
        """
        reply, text = self._reply, record.data.strip(b'" \t\r\n')
        if not data or not text or text.startswith(b":") or text.lower() in KEEP_ALIVE:
            return False
        if reply.finish_reason:
            # All that mattered has arrived: "[DONE]", however it is written, or anything else.
            reply.ended = True
        elif not reply.end_marker or text != reply.end_marker:
            raise reply.unreadable(record.data, record.name)
        self._finish(events)
        return True

    def _finish(self, events: list[Event]) -> None:
        if not self._reply.begun:
            raise self._reply.no_reply(self._last)
        self.finished = True
        self._reply.finish(events)

    def _is_complete(self, record: Record) -> bool:
        try:
            self._reply.load(record.data)
        except ValueError:
            return False
        return True
