"""One answer of a backend that was asked for a form: where in it the answer is, and what it cost.

A call is the answer only where it is of the tool that was added to take it. Any other call is the model's own
business with the caller: the answer comes after its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_UNSPECIFIED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    Warning,  # noqa: A004 - the contract's name
)

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.structured_output.prompts import Way
from clawdbot_model_gateway.core.structured_output.spec import json_in
from clawdbot_model_gateway.core.token_estimate import estimated_usage, tokens_of
from clawdbot_model_gateway.core.usage import summed

ENDS: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS})
"""Ends of a reply that is whole. After any other there is nothing to mend: the caller is told as it is."""


class Reply:
    """One answer of the backend."""

    def __init__(self, found: Sequence[Event], asked: GenerateRequest, way: Way) -> None:
        """Takes the events, the request that they answer, and how the form was asked for in it."""
        self._events = found
        self._end = found[-1].finished
        self.usage = cost_of(found, asked)
        """What it cost, estimated where the backend did not say."""
        self.calls = (
            way == "words" and bool(asked.tools) and any(e.HasField("tool_call_started") for e in found)
        )
        """Whether it calls a tool of the caller's, and is no answer yet."""
        done = _first_call(found, asked.tool_choice.name) if way == "tool" else None
        self.call: ToolCall | None = done.tool_call_done.tool_call if done else None
        """The call that holds the answer, where it came as one."""
        self.text = (
            _arguments(found, done.tool_call_done.index)
            if done
            else json_in("".join(each.text_delta.text for each in found))
        )

    @property
    def ended(self) -> bool:
        """Whether the model said all it had to say."""
        return self._end.finish_reason in ENDS

    def add_cost_of(self, earlier: Reply) -> None:
        """Counts an earlier answer's tokens in."""
        self.usage = summed((earlier.usage, self.usage))

    def whole_events(self) -> Sequence[Event]:
        """The events as they came, with what they cost."""
        said = [each for each in self._events[:-1] if not each.HasField("usage")]
        return [*said, events.used(self.usage), self._events[-1]]

    def told(self, warning: Warning) -> Sequence[Event]:
        """The events that the caller sees: the answer as text, however it came."""
        begun = Event()
        begun.CopyFrom(self._events[0])
        begun.started.warnings.append(warning)
        thoughts = [each for each in self._events if each.HasField("reasoning_delta")]
        said = [events.text(self.text)] if self.text else []
        reason = FINISH_REASON_STOP if self.ended else self._end.finish_reason
        end = events.finished(reason, self._end.raw_finish_reason)
        return [begun, *thoughts, *said, events.used(self.usage), end]


def cost_of(found: Iterable[Event], asked: GenerateRequest) -> Usage:
    """What events cost that answer a request, all of them or as far as they came."""
    said = list[str]()
    for each in found:
        if each.HasField("usage") and each.usage.provenance != USAGE_PROVENANCE_UNSPECIFIED:
            return each.usage
        said += (each.text_delta.text, each.reasoning_delta.text, each.tool_call_delta.arguments)
    return estimated_usage(asked, tokens_of("".join(said)))


def _first_call(found: Iterable[Event], tool: str) -> Event | None:
    """The first call of the tool, where it is whole."""
    return next((each for each in found if each.tool_call_done.tool_call.name == tool), None)


def _arguments(found: Iterable[Event], index: int) -> str:
    """A call's arguments as the model wrote them: as a Struct, whole numbers would be none."""
    deltas = (each.tool_call_delta for each in found if each.HasField("tool_call_delta"))
    return "".join(each.arguments for each in deltas if each.index == index) or "{}"
