"""GenerateContentResponse as the events of a reply, for whole replies and for pieces of one alike."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_TRUNCATED,
)
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini import thought_signatures
from clawdbot_model_gateway.formats.gemini.usage import usage_of
from clawdbot_model_gateway.http import VendorErrors

WORDS: Final = {
    "STOP": FINISH_REASON_STOP,
    "MAX_TOKENS": FINISH_REASON_LENGTH,
    **dict.fromkeys(
        ("SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "RECITATION", "LANGUAGE"),
        FINISH_REASON_CONTENT_FILTER,
    ),
    **dict.fromkeys(
        ("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER"),
        FINISH_REASON_CONTENT_FILTER,
    ),
    **dict.fromkeys(
        (
            *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
            *("NO_IMAGE", "OTHER"),
        ),
        FINISH_REASON_MODEL_ERROR,
    ),
}
"""finishReason → ours; any other word is UNKNOWN."""

NO_WORDS: Final = frozenset({"", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"})
"""What an enumeration says while there is no reason."""


class ReplyReader:
    """Reads one reply."""

    def __init__(
        self, model: str, warnings: Sequence[Warning], names: ToolNames, errors: VendorErrors
    ) -> None:
        """Args: model: what was asked for, shown where the reply names no model."""
        self._model = model
        self._warnings = warnings
        self._names = names
        self._errors = errors
        self._usage: dict[str, Any] = {}
        self._calls = 0
        self._broken_call = False
        self._begun = False
        self._blocked = ""
        self._word = ""
        self.said = False
        """Whether there was anything of the reply yet."""

    @property
    def word(self) -> str:
        """The vendor's reason, once it has come; that a filter blocked the prompt is one."""
        return self._blocked or self._word

    def take(self, chunk: Any) -> list[Event]:
        """The events of one JSON object.

        Raises:
            ModelFailure: it is an error, or no object.
        """
        if not isinstance(chunk, dict):
            raise ProtocolViolation("it sent something that is no JSON object")
        if chunk.get("error"):
            raise self._errors.in_band(chunk)
        found: list[Event] = []
        if not self._begun:
            self._begun = True
            found.append(events.started(_text(chunk.get("modelVersion")) or self._model, self._warnings))
        counts = chunk.get("usageMetadata")
        if isinstance(counts, dict):
            # Totals so far; not every piece repeats all of them.
            self._usage.update(counts)
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict):
            self._blocked = _word(feedback.get("blockReason")) or self._blocked
        candidate = _first(chunk.get("candidates"))
        if candidate is not None:
            self._candidate(candidate, found)
        return found

    def end(self) -> list[Event]:
        """The last events: usage, and why it ended."""
        reason = events.finish_reason(self.word, WORDS)
        if self._blocked:
            # Whatever the filter is called.
            reason = FINISH_REASON_CONTENT_FILTER
        elif reason == FINISH_REASON_STOP and self._broken_call:
            reason = FINISH_REASON_MODEL_ERROR
        elif reason == FINISH_REASON_STOP and self._calls:
            # It has no word of its own for that.
            reason = FINISH_REASON_TOOL_CALLS
        found: list[Event] = [] if self._begun else [events.started(self._model, self._warnings)]
        if self._usage:
            found.append(events.used(usage_of(self._usage, partial=reason == FINISH_REASON_TRUNCATED)))
        found.append(events.finished(reason, self.word))
        return found

    def _candidate(self, candidate: Mapping[str, Any], found: list[Event]) -> None:
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part:
                self.said = True
                self._part(part, found)
        self._word = _word(candidate.get("finishReason")) or self._word

    def _part(self, part: Mapping[str, Any], found: list[Event]) -> None:
        signature = thought_signatures.keep(part.get("thoughtSignature"))
        call = part.get("functionCall")
        if isinstance(call, dict):
            self._call(call, signature, found)
            return
        text = _text(part.get("text"))
        if part.get("thought") is True:
            if text or signature:
                found.append(events.reasoning(text, signature=signature))
            return
        if text:
            found.append(events.text(text))
        if signature:
            # Of the text, or of all that came before: it goes back behind it, in a part of its own.
            found.append(events.reasoning("", signature=signature))

    def _call(self, call: Mapping[str, Any], signature: bytes, found: list[Event]) -> None:
        """A call comes whole, and often without an id."""
        name, arguments = self._names.full(_text(call.get("name"))), call.get("args")
        if not name:
            self._broken_call = True
            return
        index = self._calls
        self._calls += 1
        call_id = _text(call.get("id")) or f"call_{secrets.token_hex(12)}"
        found.append(events.tool_started(index, call_id, name))
        try:
            plain = {} if arguments is None else arguments
            struct = to_struct(plain) if isinstance(plain, dict) else None
        except ValueError:
            struct = None
        if struct is None:
            self._broken_call = True
            return
        found.append(events.tool_delta(index, orjson.dumps(plain).decode()))
        whole = ToolCall(id=call_id, name=name, arguments=struct, signature=signature)
        found.append(events.tool_done(index, whole))


def _first(candidates: Any) -> Mapping[str, Any] | None:
    """The candidate of index 0: we ask for one."""
    if not isinstance(candidates, list):
        return None
    return next((each for each in candidates if isinstance(each, dict) and not each.get("index")), None)


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "" if text in NO_WORDS else text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
