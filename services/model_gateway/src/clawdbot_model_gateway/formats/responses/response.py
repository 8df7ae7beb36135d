"""The Responses API's events, and whole responses, as the events of a reply: one reader for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CANCELLED,
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_REFUSAL,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_UNKNOWN,
    FinishReason,
)
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ModelFailure, ProtocolViolation, RequestRefused
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.responses.output_items import Items
from clawdbot_model_gateway.http import VendorErrors

WORDS: Final = {
    "completed": FINISH_REASON_STOP,
    "incomplete/max_output_tokens": FINISH_REASON_LENGTH,
    "incomplete/content_filter": FINISH_REASON_CONTENT_FILTER,
    "failed": FINISH_REASON_MODEL_ERROR,
    "cancelled": FINISH_REASON_CANCELLED,
}
"""Status, with the reason of an incomplete one → ours; any other is UNKNOWN."""
ENDS: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Last words of `response.…` that end a stream."""
FAULTS: Final = ("invalid_", "image_", "unsupported_image", "empty_image", "failed_to_download_image")
"""How the codes begin of errors that are the request's fault."""
POLICIES: Final = ("_policy", "_policy_violation")
"""How the codes end of the vendor's own rules."""
LARGEST_COUNT: Final = 2**53
"""Tokens. What is larger is no count."""


class ReplyReader:
    """Reads one reply."""

    def __init__(
        self, model: str, warnings: Sequence[Warning], names: ToolNames, errors: VendorErrors
    ) -> None:
        """Args: model: what was asked for, shown where the reply names no model."""
        self._model = model
        self._warnings = warnings
        self._errors = errors
        self._items = Items(names)
        self._usage: Usage | None = None
        self._begun = False
        self.said = False
        """Whether there was anything of the reply yet."""
        self.word = ""
        """The vendor's word for the end, once it has come; nothing follows it."""

    def take(self, event: Any, name: str = "") -> list[Event]:
        """The events of one event.

        Args:
            event: its data.
            name: what it is called, where its data does not say.

        Raises:
            ModelFailure: it is an error, or no object.
        """
        if not isinstance(event, dict):
            raise ProtocolViolation("it sent something that is no JSON object")
        kind = event.get("type") or name
        if kind == "error" or (event.get("error") and not str(kind).startswith("response.")):
            raise self._failure(event)
        found: list[Event] = []
        self._begin(event.get("response"), found)
        before = len(found)
        step = _STEPS.get(str(kind))
        if step is not None:
            step(self._items, event, found)
        elif str(kind).startswith("response.") and str(kind)[len("response.") :] in ENDS:
            self._ended(event.get("response"), str(kind)[len("response.") :], found)
        self.said = self.said or len(found) > before
        return found

    def whole(self, response: Any) -> list[Event]:
        """The events of a response that came at once.

        Raises:
            ModelFailure: it is an error, or no response.
        """
        if not isinstance(response, dict):
            raise ProtocolViolation("it sent something that is no JSON object")
        if response.get("error") and not response.get("status"):
            raise self._failure(response)
        if not isinstance(response.get("output"), list) or not response.get("status"):
            raise ProtocolViolation("its answer holds no response")
        found: list[Event] = []
        self._begin(response, found)
        self._ended(response, "", found)
        return found + self.end()

    def end(self) -> list[Event]:
        """The last events: tool calls, usage, and why it ended."""
        found: list[Event] = [] if self._begun else [events.started(self._model, self._warnings)]
        ended = self.word == "completed"
        whole = [*self._items.calls(found, ended=ended)]
        reason, raw = self._reason(whole), self.word
        if ended and reason == FINISH_REASON_UNKNOWN:
            raw = f"completed/{self._items.wanting}"
        if self._usage is not None:
            found.append(events.used(self._usage))
        found.append(events.finished(reason, raw))
        return found

    def _reason(self, whole: list[bool]) -> FinishReason.ValueType:
        word = "failed" if self.word.startswith("failed/") else self.word
        reason = events.finish_reason(word, WORDS)
        if reason != FINISH_REASON_STOP:
            return reason
        if self._items.refused:
            return FINISH_REASON_REFUSAL
        if self._items.wanting:
            return FINISH_REASON_UNKNOWN
        if not whole:
            return reason
        return FINISH_REASON_TOOL_CALLS if all(whole) else FINISH_REASON_MODEL_ERROR

    def _begin(self, response: Any, found: list[Event]) -> None:
        if not self._begun:
            self._begun = True
            model = response.get("model") if isinstance(response, dict) else None
            named = model if isinstance(model, str) and model else self._model
            found.append(events.started(named, self._warnings))

    def _ended(self, response: Any, kind: str, found: list[Event]) -> None:
        """Takes what the last event repeats, and its usage.

        Raises:
            ModelFailure: it failed before it said anything, so that another backend may be tried.
        """
        response = response if isinstance(response, dict) else {}
        before = len(found)
        self._items.output(response.get("output"), found)
        self.said = self.said or len(found) > before
        self._usage = _usage(response.get("usage"))
        status = str(response.get("status") or kind)
        error = response.get("error")
        if status == "failed" and isinstance(error, dict):
            if not self.said:
                raise self._failure(response)
            status = f"failed/{error.get('code') or 'error'}"
        details = response.get("incomplete_details")
        if status == "incomplete" and isinstance(details, dict) and details.get("reason"):
            status = f"incomplete/{details['reason']}"
        self.word = status

    def _failure(self, payload: Mapping[str, Any]) -> ModelFailure:
        error = payload.get("error")
        error = error if isinstance(error, dict) else payload
        code = str(error.get("code") or "")
        if (code.startswith(FAULTS) and code != "invalid_api_key") or code.endswith(POLICIES):
            said = self._errors.clean(f"{code}: {error.get('message') or ''}")
            return RequestRefused(f"it refused the request: {said}")
        return self._errors.in_band(payload)


Step = Callable[[Items, Mapping[str, Any], list[Event]], None]


def _texts(kind: str, slot: str) -> dict[str, Step]:
    return {
        f"response.{kind}.delta": partial(_delta, slot),
        f"response.{kind}.done": partial(_done, slot),
    }


def _delta(slot: str, items: Items, event: Mapping[str, Any], found: list[Event]) -> None:
    items.delta(slot, event, found)


def _done(slot: str, items: Items, event: Mapping[str, Any], found: list[Event]) -> None:
    items.text(slot, event, found)


_STEPS: Final[Mapping[str, Step]] = {
    "response.output_item.added": Items.added,
    "response.output_item.done": Items.done,
    "response.function_call_arguments.delta": Items.arguments,
    "response.function_call_arguments.done": Items.all_arguments,
    **_texts("output_text", "output_text"),
    **_texts("refusal", "refusal"),
    **_texts("reasoning_summary_text", "summary_text"),
    **_texts("reasoning_text", "reasoning_text"),
}
"""Type of an event → what it does. Those of parts and of the vendor's own tools say nothing that is ours."""


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        cached_tokens=_count(usage.get("input_tokens_details"), "cached_tokens"),
        cache_write_tokens=_count(usage.get("input_tokens_details"), "cache_write_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_count(usage.get("output_tokens_details"), "reasoning_tokens"),
        provenance=USAGE_PROVENANCE_REPORTED,
    )


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and 0 <= value < LARGEST_COUNT else 0
