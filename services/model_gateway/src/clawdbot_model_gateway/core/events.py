"""Builds the events of a reply, and merges small ones that wait together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CONTEXT_FULL,
    FINISH_REASON_LENGTH,
    FINISH_REASON_TRUNCATED,
    FINISH_REASON_UNKNOWN,
    FinishReason,
)
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    ReasoningDelta,
    StreamGenerateResponse,
    ToolCallDone,
    ToolCallStarted,
    Warning,  # noqa: A004 - the contract's name
)

Event = StreamGenerateResponse

Take = Callable[[Sequence[Event]], Awaitable[None]]
"""Takes the next events of a backend's reply: all of one that came at once, else one."""

Send = Callable[[Iterable[Event]], Awaitable[None]]
"""Sends the next events of a reply to the caller; returns when more may follow."""

TRUNCATED_REASONS: Final = frozenset(
    {
        FINISH_REASON_LENGTH,
        FINISH_REASON_CONTEXT_FULL,
        FINISH_REASON_TRUNCATED,
    }
)
"""Finish reasons of a reply that is not complete."""


def started(model: str, warnings: Sequence[Warning] = ()) -> Event:
    """The first event, with the vendor's name of the model that answers."""
    event = Event()
    event.started.model = model
    if warnings:
        event.started.warnings.extend(warnings)
    return event


def text_delta(delta: str) -> Event:
    """The next part of the reply's text."""
    # Setting field by field, here and below, costs half of building the inner message first, for each token.
    event = Event()
    event.text_delta.text = delta
    return event


def reasoning_delta(delta: str, *, signature: bytes = b"", redacted: bool = False) -> Event:
    """The next part of the model's reasoning."""
    return Event(reasoning_delta=ReasoningDelta(text=delta, signature=signature, redacted=redacted))


def text_was_reasoning() -> Event:
    """All text so far was reasoning."""
    return Event(reasoning_delta=ReasoningDelta(text_was_reasoning=True))


def tool_call_started(index: int, call_id: str, name: str) -> Event:
    """Starts a tool call; `name` is the tool's full name, not the vendor's encoding of it."""
    return Event(tool_call_started=ToolCallStarted(index=index, id=call_id, name=name))


def tool_call_delta(index: int, arguments: str) -> Event:
    """The next part of a tool call's arguments, as JSON text."""
    event = Event()
    event.tool_call_delta.index, event.tool_call_delta.arguments = index, arguments
    return event


def tool_call_done(index: int, call: ToolCall) -> Event:
    """Completes a tool call, with its arguments parsed."""
    return Event(tool_call_done=ToolCallDone(index=index, tool_call=call))


def usage(usage: Usage) -> Event:
    """The token usage of the reply."""
    event = Event()
    event.usage.CopyFrom(usage)
    return event


def finished(reason: FinishReason.ValueType, raw: str = "") -> Event:
    """The last event. `raw` is the vendor's finish reason, empty where it gave none."""
    event = Event()
    end = event.finished
    end.finish_reason, end.raw_finish_reason, end.truncated = reason, raw, reason in TRUNCATED_REASONS
    return event


def has_content(event: Event) -> bool:
    """Whether the event shows that the backend answers: text, thoughts, a tool call, or the end of the reply.

    `started`, `usage` and empty deltas do not; some backends send them before they fail.
    """
    kind = event.WhichOneof("event")
    if kind == "text_delta":
        return bool(event.text_delta.text)
    if kind == "reasoning_delta":
        delta = event.reasoning_delta
        return bool(delta.text or delta.signature or delta.redacted)
    if kind == "tool_call_delta":
        return bool(event.tool_call_delta.arguments)
    return kind not in {"started", "usage"}


def finish_reason(raw: str, vocabulary: Mapping[str, FinishReason.ValueType]) -> FinishReason.ValueType:
    """Maps a vendor's finish reason: TRUNCATED where it is missing, UNKNOWN where it is new; never STOP."""
    if not raw:
        return FINISH_REASON_TRUNCATED
    return vocabulary.get(raw, FINISH_REASON_UNKNOWN)


def merge_deltas(events: Sequence[Event]) -> Sequence[Event]:
    """The same events, with neighbouring deltas of one kind joined; none of them is changed.

    It is applied to the events of one network read. A fast reader sees every delta on its own; a slow one
    gets fewer and larger messages instead of a longer queue.
    """
    if len(events) < 2:
        return events
    merged: list[Event] = []
    for kind, neighbours in groupby(events, _joinable):
        same = [*neighbours]
        if kind is None or len(same) == 1:
            merged += same
        elif isinstance(kind, int):
            merged.append(tool_call_delta(kind, "".join([each.tool_call_delta.arguments for each in same])))
        elif kind == "text_delta":
            merged.append(text_delta("".join([each.text_delta.text for each in same])))
        else:
            merged.append(reasoning_delta("".join([each.reasoning_delta.text for each in same])))
    return merged


def _joinable(event: Event) -> str | int | None:
    """What it can be joined with: deltas of its kind, or of its tool call; None for nothing."""
    kind = event.WhichOneof("event")
    if kind == "text_delta":
        return kind
    if kind == "tool_call_delta":
        return event.tool_call_delta.index
    if kind == "reasoning_delta":
        delta = event.reasoning_delta
        # A signature belongs to its own delta.
        return None if delta.signature or delta.redacted or delta.text_was_reasoning else kind
    return None
