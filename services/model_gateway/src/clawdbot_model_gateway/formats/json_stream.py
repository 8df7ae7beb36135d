"""Decodes a stream of JSON records, from its bytes to our events: one reader for all vendors' streams.

What differs is how records are told apart (sse.py, ndjson.py), and what they mean (a vendor's ReplyDecoder).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from typing_extensions import override

from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.http.response_stream import StreamDecoder

_SIGN_OF_LIFE: Final = re.compile(
    rb"[^\w{}]*|:.*|\W*(\w+[ _-])?(ping|pong|heart[ _-]?beat|(keep[ _-]?)?alive|processing|working|waiting"
    rb"|queued?|no-?op|tick|undefined|none|null)\W*",
    re.IGNORECASE | re.DOTALL,
)
"""Names of events, and records, that only keep the connection alive."""
_GREETING: Final = re.compile(
    rb"\d+[-:/]\d[\d\s.,:/+TZ-]*|\W*(ok|open|connected|ready|hello|start(ed|ing)?|begin|status|progress|thinking)\W*",
    re.IGNORECASE,
)
"""More of them, where the record is not an object, whose fields may have such names: also a time."""
MAX_SIGN_FIELDS: Final = 2
"""Fields of an object that only keeps it alive."""


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
            try:
                data = reply.load(record.data)
            except ValueError:
                data = record.data.decode("utf-8", "replace")
            is_object = isinstance(data, dict)
            if (not is_object or _is_bare(data)) and _is_sign_of_life(record, data):
                continue
            if not is_object:
                if data:
                    self._end_with(record, events)
                continue
            if not reply.begun:
                self._last = data
            reply.decode(data, record.name, events)
            if reply.ended:
                self._finish(events)

    def _end_with(self, record: Record, events: list[Event]) -> None:
        """Ends the reply with a record that is not part of it.

        Raises:
            ModelError: it is rubbish in the middle of a reply.
        """
        reply, text = self._reply, record.data.strip(b'" \t\r\n')
        if reply.finish_reason:
            # All that mattered has arrived: "[DONE]", however it is written, or anything else.
            reply.ended = True
        elif not reply.end_marker or text != reply.end_marker:
            raise reply.unreadable(record.data, record.name)
        self._finish(events)

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


def _is_bare(data: Mapping[str, Any]) -> bool:
    """Whether an object has no room for a part of a reply, and says nothing of an error."""
    return len(data) <= MAX_SIGN_FIELDS and not any(
        value and (isinstance(value, dict | list) or name.lower().startswith("error"))
        for name, value in data.items()
    )


def _is_sign_of_life(record: Record, data: Any) -> bool:
    """Whether a record only keeps the connection alive. An object's type says more than its event's name."""
    if isinstance(data, dict):
        words = [] if data.get("type") else [record.name]
        texts = (*data, *(data.get(name) for name in ("type", "object", "event", "status")))
        words += [each.encode("utf-8", "replace") for each in texts if isinstance(each, str)]
        return any(each and _SIGN_OF_LIFE.fullmatch(each) for each in words)
    patterns = (_SIGN_OF_LIFE, _GREETING)
    return any(each and any(p.fullmatch(each) for p in patterns) for each in (record.name, record.data))
