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

from clawdbot_model_gateway.core.errors import FormMissed
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import LimitedForms, Provider
from clawdbot_model_gateway.core.structured_output.candidate import Reply, cost_of
from clawdbot_model_gateway.core.structured_output.prompts import Way, first_request, second_request, way_for
from clawdbot_model_gateway.core.structured_output.spec import Form
from clawdbot_model_gateway.core.structured_output.validation import Checking, Judges

FORM_EMULATED: Final = "FORM_EMULATED"
"""The code of the warning that a form was asked for by other means, and checked by the gateway."""
MEANS: Final = {"tool": "by a tool", "words": "in words"}

Ask = Callable[[GenerateRequest], Awaitable[Sequence[Event]]]
Pay = Callable[[Usage], None]
"""Is told at once what an answer cost. The usage of a reply that is shown then has it in it."""


class Answerer(Protocol):
    """What answers a request: a provider, or one in another's hands."""

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the provider port says."""

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the provider port says."""


async def keeping_form(
    provider: Provider, request: GenerateRequest, model: str, *, judges: Judges, pay: Pay
) -> Answerer:
    """What answers the request in the form that it asks for.

    Raises:
        InvalidRequest: its schema is none, or cannot be checked.
    """
    kind = request.response_format.WhichOneof("format")
    if kind in (None, "text") or not isinstance(provider, LimitedForms):
        return provider
    forms = provider.forms(request, model)
    if kind in forms:
        return provider
    form = Form(request.response_format)
    checking = Checking(form.schema, judges)
    await checking.begin()
    return FormKeeper(provider, form, checking, way=way_for(form, request, forms), forms=forms, pay=pay)


class FormKeeper:
    """Answers one request."""

    def __init__(
        self,
        provider: Provider,
        form: Form,
        checking: Checking,
        *,
        way: Way,
        forms: frozenset[str],
        pay: Pay,
    ) -> None:
        self._provider = provider
        self._form = form
        self._checking = checking
        self._way = way
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
        reply, fault = await self._round(asked, ask)
        if fault:
            first = reply
            asked = second_request(asked, first.text, first.call, fault)
            reply, fault = await self._round(asked, ask)
            reply.add_cost_of(first)
        if fault:
            raise FormMissed(fault.splitlines()[0].removesuffix("."))
        return reply.whole_events() if reply.calls else reply.told(self._warning())

    async def _round(self, asked: GenerateRequest, ask: Ask) -> tuple[Reply, str]:
        """A reply, and what does not fit in it."""
        reply = Reply(await ask(asked), asked, self._way)
        self._pay(reply.usage)
        judged = reply.ended and not reply.calls
        return reply, await self._checking.fault(reply.text) if judged else ""

    def _warning(self) -> Warning:
        return Warning(
            code=FORM_EMULATED,
            field=f"response_format.{self._form.kind}",
            message=f"The backend has no such field: it was asked for {MEANS[self._way]}, and checked.",
        )
