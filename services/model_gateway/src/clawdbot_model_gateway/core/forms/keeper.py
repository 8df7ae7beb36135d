"""A provider that keeps to a form which its backend has no field for: it asks, checks, and asks once more.

A model that wraps a model. Nothing of a reply is shown before it was found to have the form, so a stream of
such a reply comes in one piece; a reply that does not have it after the second time is a failure, and the
next target is tried.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    Warning,  # noqa: A004 - the contract's name
)

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.failures import FormMissed
from clawdbot_model_gateway.core.forms.asking import Way, first_request, second_request, way_for
from clawdbot_model_gateway.core.forms.form import Form, json_in
from clawdbot_model_gateway.core.provider import LimitedForms, Provider
from clawdbot_model_gateway.core.usage import summed

FORM_EMULATED: Final = "FORM_EMULATED"
"""The code of the warning that a form was asked for by other means, and checked by the gateway."""
MEANS: Final = {"tool": "by a tool", "words": "in words"}
SAID: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS})
"""Ends of a reply that is whole. After any other there is nothing to mend: the caller is told as it is."""

Ask = Callable[[GenerateRequest], Awaitable[Sequence[Event]]]


class Answerer(Protocol):
    """What answers a request: a provider, or one in another's hands."""

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the provider port says."""

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the provider port says."""


def keeping_form(provider: Provider, request: GenerateRequest, model: str) -> Answerer:
    """What answers the request in the form that it asks for.

    Raises:
        InvalidRequest: its schema is none.
    """
    kind = request.response_format.WhichOneof("format")
    if kind in (None, "text") or not isinstance(provider, LimitedForms):
        return provider
    forms = provider.forms(request, model)
    return provider if kind in forms else FormKeeper(provider, request, forms)


class FormKeeper:
    """Answers one request."""

    def __init__(self, provider: Provider, request: GenerateRequest, forms: frozenset[str]) -> None:
        self._provider = provider
        self._form = Form(request.response_format)
        self._way: Way = way_for(self._form, request, forms)
        self._forms = forms

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the provider port says."""
        return await self._answer(request, lambda asked: self._provider.generate(asked, model))

    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the provider port says."""

        async def read(asked: GenerateRequest) -> Sequence[Event]:
            # As a stream, so that a slow model is not taken for a silent one.
            async with aclosing(self._provider.stream(asked, model)) as found:
                return [event async for event in found]

        for event in await self._answer(request, read):
            yield event

    async def _answer(self, request: GenerateRequest, ask: Ask) -> Sequence[Event]:
        first = first_request(request, self._form, self._way, self._forms)
        reply = _Reply(await ask(first))
        fault = self._fault(reply)
        if fault:
            again = _Reply(await ask(second_request(first, reply.text, reply.call, fault)))
            again.add_cost_of(reply)
            reply, fault = again, self._fault(again)
        if fault:
            missed = FormMissed(fault.splitlines()[0].removesuffix("."))
            missed.spent = reply.usage
            raise missed
        return reply.told(self._warning())

    def _fault(self, reply: _Reply) -> str:
        return self._form.fault(reply.text) if reply.whole else ""

    def _warning(self) -> Warning:
        return Warning(
            code=FORM_EMULATED,
            field=f"response_format.{self._form.kind}",
            message=f"The backend has no such field: it was asked for {MEANS[self._way]}, and checked.",
        )


class _Reply:
    """One answer of the backend."""

    def __init__(self, found: Sequence[Event]) -> None:
        self._events = found
        self.usage = next((each.usage for each in found if each.WhichOneof("event") == "usage"), None)
        self._end = found[-1].finished
        self.call: ToolCall | None = next(
            (each.tool_call_done.tool_call for each in found if each.WhichOneof("event") == "tool_call_done"),
            None,
        )
        """The call that holds the answer, where it came as one."""
        self.text = self._arguments() if self.call else json_in("".join(e.text_delta.text for e in found))

    def _arguments(self) -> str:
        """The first call's arguments as the model wrote them: as a Struct, whole numbers would be none."""
        first = next(
            each.tool_call_started.index for each in self._events if each.HasField("tool_call_started")
        )
        deltas = (each.tool_call_delta for each in self._events if each.HasField("tool_call_delta"))
        return "".join(each.arguments for each in deltas if each.index == first) or "{}"

    @property
    def whole(self) -> bool:
        """Whether the model said all it had to say."""
        return self._end.finish_reason in SAID

    def add_cost_of(self, earlier: _Reply) -> None:
        """Counts an earlier answer's tokens in."""
        if self.usage or earlier.usage:
            self.usage = summed(each or Usage() for each in (earlier.usage, self.usage))

    def told(self, warning: Warning) -> Sequence[Event]:
        """The events that the caller sees: the answer as text, however it came."""
        begun = Event()
        begun.CopyFrom(self._events[0])
        begun.started.warnings.append(warning)
        thoughts = [each for each in self._events if each.HasField("reasoning_delta")]
        said = [events.text(self.text)] if self.text else []
        cost = [events.used(self.usage)] if self.usage else []
        reason = FINISH_REASON_STOP if self.whole else self._end.finish_reason
        return [begun, *thoughts, *said, *cost, events.finished(reason, self._end.raw_finish_reason)]
