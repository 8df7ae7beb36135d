"""The events of a reply: how they are made, and how small ones that wait together become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

NOT_WHOLE: Final = frozenset(
    {
        FINISH_REASON_LENGTH,
        FINISH_REASON_CONTEXT_FULL,
        FINISH_REASON_TRUNCATED,
    }
)
"""Reasons after which the reply lacks its end."""


def started(model: str, warnings: Sequence[Warning] = ()) -> Event:
    """The first event, with the vendor's own name of the model that answers."""
    event = Event()
    event.started.model = model
    if warnings:
        event.started.warnings.extend(warnings)
    return event


def text(piece: str) -> Event:
    """The next piece of the reply's text."""
    # Set field by field, here and below: half the cost of building the inner message first, for each token.
    event = Event()
    event.text_delta.text = piece
    return event


def reasoning(piece: str, *, signature: bytes = b"", redacted: bool = False) -> Event:
    """The next piece of the model's thought."""
    return Event(reasoning_delta=ReasoningDelta(text=piece, signature=signature, redacted=redacted))


def tool_started(index: int, call_id: str, name: str) -> Event:
    """A tool call opens; `name` is the tool's full name, not the wire's."""
    return Event(tool_call_started=ToolCallStarted(index=index, id=call_id, name=name))


def tool_delta(index: int, arguments: str) -> Event:
    """The next piece of a tool call's arguments, as JSON text."""
    event = Event()
    event.tool_call_delta.index, event.tool_call_delta.arguments = index, arguments
    return event


def tool_done(index: int, call: ToolCall) -> Event:
    """A tool call is whole, its arguments parsed."""
    return Event(tool_call_done=ToolCallDone(index=index, tool_call=call))


def used(usage: Usage) -> Event:
    """What the reply cost in tokens."""
    return Event(usage=usage)


def finished(reason: FinishReason.ValueType, raw: str = "") -> Event:
    """The last event. `raw` is the vendor's own word, empty where it said none."""
    event = Event()
    end = event.finished
    end.finish_reason, end.raw_finish_reason, end.truncated = reason, raw, reason in NOT_WHOLE
    return event


def finish_reason(raw: str, vocabulary: Mapping[str, FinishReason.ValueType]) -> FinishReason.ValueType:
    """A vendor's word in our vocabulary: no word is TRUNCATED, a new one UNKNOWN, neither ever STOP."""
    if not raw:
        return FINISH_REASON_TRUNCATED
    return vocabulary.get(raw, FINISH_REASON_UNKNOWN)


def merged(events: list[Event]) -> list[Event]:
    """The same events, with neighbouring pieces of text made one.

    A provider calls it on what one read from the network brought. A reader that keeps up sees every piece on
    its own; one that lags gets fewer and larger messages instead of a longer queue.
    """
    if len(events) < 2:
        return events
    result: list[Event] = []
    previous = ""
    for event in events:
        kind = event.WhichOneof("event") or ""
        if kind == previous and kind == "text_delta":
            result[-1].text_delta.text += event.text_delta.text
        elif kind == previous and kind == "reasoning_delta" and _plain(result[-1]) and _plain(event):
            result[-1].reasoning_delta.text += event.reasoning_delta.text
        else:
            result.append(event)
        previous = kind
    return result


def _plain(event: Event) -> bool:
    """Whether a piece of thought is text alone; a signature belongs to its own piece."""
    return not event.reasoning_delta.signature and not event.reasoning_delta.redacted
