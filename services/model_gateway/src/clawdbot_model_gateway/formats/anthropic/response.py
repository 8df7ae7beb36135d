"""A reply of the Messages API as the standard's events, streamed or whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CONTEXT_FULL,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_PAUSED,
    FINISH_REASON_REFUSAL,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_TRUNCATED,
    FinishReason,
)
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.anthropic.content_blocks import Blocks
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.sse import EventParser, ServerEvent
from clawdbot_model_gateway.http import VendorErrors

WORDS: Final = {
    "end_turn": FINISH_REASON_STOP,
    "stop_sequence": FINISH_REASON_STOP,
    "max_tokens": FINISH_REASON_LENGTH,
    "model_context_window_exceeded": FINISH_REASON_CONTEXT_FULL,
    "tool_use": FINISH_REASON_TOOL_CALLS,
    "refusal": FINISH_REASON_REFUSAL,
    "pause_turn": FINISH_REASON_PAUSED,
}
"""stop_reason → ours; any other word is UNKNOWN."""
OF_ITS_OWN_WILL: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS})
"""After these a tool call without arguments is whole."""

LARGEST_COUNT: Final = 2**53
"""Tokens. What is larger is no count."""


class MessageStream:
    """Reads one reply. Takes pieces as the network brings them; where they are cut makes no difference."""

    nearly_over: Final = False
    """The last event is part of the protocol: without it the reply is not whole."""

    def __init__(
        self, model: str, warnings: Sequence[Warning], names: ToolNames, errors: VendorErrors
    ) -> None:
        """Args: model: what was asked for, shown where the reply names no model."""
        self._model = model
        self._warnings = warnings
        self._errors = errors
        self._parser = EventParser()
        self._blocks = Blocks(names)
        self._usage: dict[str, Any] = {}
        self._word = ""
        self._told = False
        self.begun = False
        """Whether anything of the reply has come."""
        self.over = False
        """Whether the last events have been given."""

    def feed(self, piece: bytes, found: list[Event]) -> None:
        """Adds the events that the piece completes.

        Raises:
            ModelFailure: it brings an error, or what is not of this protocol; what came before is in `found`.
        """
        self._take(self._parser.feed(piece), found)

    def end(self, found: list[Event]) -> None:
        """Adds the last events, when the connection has ended. Without message_stop it is TRUNCATED.

        Raises:
            ModelFailure: as for feed.
        """
        self._take([each for each in self._parser.end() if _is_json(each.data)], found)
        if not self.over:
            if not self.begun:
                raise ProtocolViolation("the stream ended before the reply began")
            self._finish(FINISH_REASON_TRUNCATED, found)

    def whole(self, message: Any, found: list[Event]) -> None:
        """Adds the events of a reply that came at once, from a server that does not stream.

        Raises:
            ModelFailure: it is an error, or no reply.
        """
        if not isinstance(message, dict) or not isinstance(message.get("content"), list):
            if isinstance(message, dict) and message.get("error"):
                raise self._errors.in_band(message)
            raise ProtocolViolation("its answer holds no reply")
        self._event({"type": "message_start", "message": message}, found)
        for index, block in enumerate(message["content"]):
            self._event({"type": "content_block_start", "index": index, "content_block": block}, found)
            self._event({"type": "content_block_stop", "index": index}, found)
        self._event({"type": "message_delta", "delta": message}, found)
        if not self.begun:
            raise ProtocolViolation("its answer holds no reply")
        self._event({"type": "message_stop"}, found)

    def _take(self, arrived: list[ServerEvent], found: list[Event]) -> None:
        for each in arrived:
            if self.over:
                return
            if each.name == b"ping":
                continue
            try:
                event = orjson.loads(each.data)
            except orjson.JSONDecodeError:
                raise ProtocolViolation("an event of its stream is no JSON") from None
            if not isinstance(event, dict):
                raise ProtocolViolation("it sent something that is no JSON object")
            if each.name == b"error" or event.get("type") == "error" or event.get("error"):
                raise self._errors.in_band(event)
            self._event(event, found)

    def _event(self, event: Mapping[str, Any], found: list[Event]) -> None:
        """Events of kinds that this version does not know are passed over, as the vendor asks."""
        kind, index = event.get("type"), _place(event.get("index"))
        arrived: list[Event] = []
        if kind == "content_block_delta":
            self._blocks.grow(index, _object(event, "delta"), arrived)
        elif kind == "content_block_start":
            self._blocks.start(index, _object(event, "content_block"), arrived)
        elif kind == "content_block_stop":
            self._blocks.stop(index, arrived)
        elif kind == "message_start":
            self._start(_object(event, "message"), found)
        elif kind == "message_delta":
            self._count(_object(event, "usage"))
            self._word = _word(_object(event, "delta").get("stop_reason")) or self._word
            self.begun = self.begun or bool(self._word)
        elif kind == "message_stop":
            if not self.begun:
                raise ProtocolViolation("the stream ended before the reply began")
            self._finish(events.finish_reason(self._word, WORDS), found)
        if arrived:
            self._tell(found)
            self.begun = True
            found += arrived

    def _start(self, message: Mapping[str, Any], found: list[Event]) -> None:
        if self._told:
            return
        model = message.get("model")
        self._model = model if isinstance(model, str) and model else self._model
        self._count(_object(message, "usage"))
        self._tell(found)

    def _tell(self, found: list[Event]) -> None:
        if not self._told:
            self._told = True
            found.append(events.started(self._model, self._warnings))

    def _count(self, usage: Mapping[str, Any]) -> None:
        """Later counts stand for the whole reply: they take the place of earlier ones."""
        self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _finish(self, reason: FinishReason.ValueType, found: list[Event]) -> None:
        self.over = True
        self._tell(found)
        runnable = self._blocks.end(found, whole=reason in OF_ITS_OWN_WILL)
        if reason == FINISH_REASON_STOP and self._blocks.any_call:
            # Servers that imitate the API say so.
            reason = FINISH_REASON_TOOL_CALLS
        if reason == FINISH_REASON_TOOL_CALLS and not (runnable and self._blocks.any_call):
            reason = FINISH_REASON_MODEL_ERROR
        if self._usage:
            found.append(events.used(_usage(self._usage, partial=reason == FINISH_REASON_TRUNCATED)))
        found.append(events.finished(reason, self._word))


def _usage(usage: Mapping[str, Any], *, partial: bool) -> Usage:
    read, written = _number(usage, "cache_read_input_tokens"), _number(usage, "cache_creation_input_tokens")
    return Usage(
        # The vendor's own figure leaves out what has to do with its cache.
        input_tokens=_number(usage, "input_tokens") + read + written,
        cached_tokens=read,
        cache_write_tokens=written,
        output_tokens=_number(usage, "output_tokens"),
        reasoning_tokens=_number(_object(usage, "output_tokens_details"), "thinking_tokens"),
        provenance=USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED,
    )


def _number(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    return value if isinstance(value, int) and 0 <= value < LARGEST_COUNT else 0


def _object(outer: Mapping[str, Any], name: str) -> dict[str, Any]:
    inner = outer.get(name)
    return inner if isinstance(inner, dict) else {}


def _is_json(data: bytes) -> bool:
    """Whether an event without its end is whole; if not, the connection broke in the middle of it."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _place(index: Any) -> int:
    """The block's number; one for all where a server gives none, as then they come one after another."""
    return index if isinstance(index, int) else -1
