"""A provider that keeps to a form which its backend has no field for: it asks, checks, and asks once more.

A model that wraps a model. Nothing of a reply is shown before it was found to have the form, so a stream of
such a reply comes in one piece; a reply that does not have it after the second time is a failure, and the
next target is tried.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    Warning,  # noqa: A004 - the contract's name
)

from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.failures import FormMissed
from clawdbot_model_gateway.core.forms.asking import Way, first_request, second_request, way_for
from clawdbot_model_gateway.core.forms.form import Form
from clawdbot_model_gateway.core.forms.reply import Reply, cost_of
from clawdbot_model_gateway.core.provider import LimitedForms, Provider

FORM_EMULATED: Final = "FORM_EMULATED"
"""The code of the warning that a form was asked for by other means, and checked by the gateway."""
MEANS: Final = {"tool": "by a tool", "words": "in words"}

Ask = Callable[[GenerateRequest], Awaitable[Sequence[Event]]]
Pay = Callable[[Usage], None]
"""Is told at once what was spent on an answer that is not shown, whatever becomes of the request then."""


class Answerer(Protocol):
    """What answers a request: a provider, or one in another's hands."""

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the provider port says."""

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the provider port says."""


def keeping_form(provider: Provider, request: GenerateRequest, model: str, pay: Pay) -> Answerer:
    """What answers the request in the form that it asks for.

    Raises:
        InvalidRequest: its schema is none.
    """
    kind = request.response_format.WhichOneof("format")
    if kind in (None, "text") or not isinstance(provider, LimitedForms):
        return provider
    forms = provider.forms(request, model)
    return provider if kind in forms else FormKeeper(provider, request, forms, pay)


class FormKeeper:
    """Answers one request."""

    def __init__(self, provider: Provider, request: GenerateRequest, forms: frozenset[str], pay: Pay) -> None:
        self._provider = provider
        self._form = Form(request.response_format)
        self._way: Way = way_for(self._form, request, forms)
        self._forms = forms
        self._pay = pay

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the provider port says."""
        return await self._answer(request, lambda asked: self._provider.generate(asked, model))

    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the provider port says."""

        async def read(asked: GenerateRequest) -> Sequence[Event]:
            # As a stream, so that a slow model is not taken for a silent one.
            found = list[Event]()
            try:
                async with aclosing(self._provider.stream(asked, model)) as answer:
                    async for event in answer:
                        found.append(event)
            except BaseException:
                # It ended too early for a count, and is paid for all the same.
                cost = cost_of(found, asked)
                if cost.output_tokens:
                    self._pay(cost)
                raise
            return found

        for event in await self._answer(request, read):
            yield event

    async def _answer(self, request: GenerateRequest, ask: Ask) -> Sequence[Event]:
        asked = first_request(request, self._form, self._way, self._forms)
        reply = Reply(await ask(asked), asked, self._way)
        fault = self._fault(reply)
        if fault:
            self._pay(reply.usage)
            asked = second_request(asked, reply.text, reply.call, fault)
            again = Reply(await ask(asked), asked, self._way)
            again_fault = self._fault(again)
            if again_fault:
                self._pay(again.usage)
                raise FormMissed(again_fault.splitlines()[0].removesuffix("."))
            again.add_cost_of(reply)
            reply = again
        return reply.whole_events() if reply.calls else reply.told(self._warning())

    def _fault(self, reply: Reply) -> str:
        return self._form.fault(reply.text) if reply.ended and not reply.calls else ""

    def _warning(self) -> Warning:
        return Warning(
            code=FORM_EMULATED,
            field=f"response_format.{self._form.kind}",
            message=f"The backend has no such field: it was asked for {MEANS[self._way]}, and checked.",
        )
