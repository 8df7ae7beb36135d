"""One reply of a backend that was asked for a format: the answer in it, and what it cost.

Only a call of the tool that was added to receive the answer counts as the answer. Any other call is between
the model and the caller: the answer comes after its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_UNSPECIFIED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_model_client.usage import sum_usage

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.structured_output.prompts import Method
from clawdbot_model_gateway.core.structured_output.spec import extract_json
from clawdbot_model_gateway.core.tokens.token_estimate import (
    TokenEstimator,
    estimate_input,
    estimate_usage,
    with_estimates,
)

COMPLETE_REASONS: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS})
"""Finish reasons of a complete reply. After any other the caller gets the reply as it is, without a retry."""


class Candidate:
    """One reply of the backend."""

    def __init__(self, reply: Sequence[Event], request: GenerateRequest, method: Method) -> None:
        """Reads the events of the reply, given the request that it answers and the method of that request."""
        self._events = reply
        self._finished = reply[-1].finished
        self.usage = usage_of(reply, request)
        """What it cost, estimated where the backend did not report it."""
        self.calls_own_tool = (
            method == "prompt" and bool(request.tools) and any(e.HasField("tool_call_started") for e in reply)
        )
        """Whether it calls one of the caller's tools, and is not the answer yet."""
        done = _find_call(reply, request.tool_choice.name) if method == "tool" else None
        self.answer_call: ToolCall | None = done.tool_call_done.tool_call if done else None
        """The tool call that contains the answer, where it came as one."""
        self.text = (
            _arguments(reply, done.tool_call_done.index) if done else extract_json(_answer_text(reply))
        )

    @property
    def complete(self) -> bool:
        """Whether the model finished its reply."""
        return self._finished.finish_reason in COMPLETE_REASONS

    def add_usage_of(self, earlier: Candidate) -> None:
        """Adds an earlier reply's tokens to this one's."""
        self.usage = sum_usage((earlier.usage, self.usage))

    def original_events(self) -> Sequence[Event]:
        """The events as they came, with the usage of all replies."""
        others = [each for each in self._events[:-1] if not each.HasField("usage")]
        return [*others, events.usage(self.usage), self._events[-1]]

    def text_events(self, warning: Warning) -> Sequence[Event]:
        """The events that the caller gets: the answer as text, however the backend sent it."""
        started = Event()
        started.CopyFrom(self._events[0])
        started.started.warnings.append(warning)
        reasoning = [each for each in self._events if each.HasField("reasoning_delta")]
        text = [events.text_delta(self.text)] if self.text else []
        reason = FINISH_REASON_STOP if self.complete else self._finished.finish_reason
        finished = events.finished(reason, self._finished.raw_finish_reason)
        return [started, *reasoning, *text, events.usage(self.usage), finished]


def usage_of(reply: Iterable[Event], request: GenerateRequest) -> Usage:
    """What the events of a reply cost, also where the reply broke off."""
    output = TokenEstimator()
    for each in reply:
        if each.HasField("usage") and each.usage.provenance != USAGE_PROVENANCE_UNSPECIFIED:
            return with_estimates(each.usage, partial(estimate_input, request), output)
        output.add(each.text_delta.text or each.reasoning_delta.text or each.tool_call_delta.arguments)
    return estimate_usage(request, output.tokens)


def _answer_text(reply: Sequence[Event]) -> str:
    """The text, without what the reply itself says was reasoning."""
    begin = max((at for at, each in enumerate(reply) if each.reasoning_delta.text_was_reasoning), default=0)
    return "".join(each.text_delta.text for each in reply[begin:])


def _find_call(reply: Iterable[Event], tool: str) -> Event | None:
    """The first complete call of the tool."""
    return next((each for each in reply if each.tool_call_done.tool_call.name == tool), None)


def _arguments(reply: Iterable[Event], index: int) -> str:
    """A call's arguments as the model wrote them: a Struct would turn integers into floats."""
    deltas = (each.tool_call_delta for each in reply if each.HasField("tool_call_delta"))
    return "".join(each.arguments for each in deltas if each.index == index) or "{}"
