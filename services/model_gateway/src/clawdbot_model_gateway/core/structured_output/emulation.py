"""Emulates response formats that a backend does not support: asks by other means, validates, retries once.

It is a model that wraps a model. Nothing of a reply is sent before it has been validated, so that a stream of
such a reply arrives in one piece. A reply that is still invalid after the retry is an error, and the next
target is tried.
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
from clawdbot_servicekit.limited_process import LimitedProcesses
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ResponseFormatMissed
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import LimitedFormats, Provider
from clawdbot_model_gateway.core.structured_output.candidate import Candidate, usage_of
from clawdbot_model_gateway.core.structured_output.prompts import (
    Method,
    choose_method,
    initial_request,
    retry_request,
)
from clawdbot_model_gateway.core.structured_output.spec import FormatSpec
from clawdbot_model_gateway.core.structured_output.validation import SchemaValidator

FORM_EMULATED: Final = "FORM_EMULATED"
"""Code of the warning that the gateway emulated and validated the format."""
METHOD_DESCRIPTIONS: Final = {"tool": "by a tool", "prompt": "in the prompt"}

Ask = Callable[[GenerateRequest], Awaitable[Sequence[Event]]]
RecordUsage = Callable[[Usage], None]
"""Called with the cost of each reply at once. The usage of a reply that is sent includes it."""


class ReplySource(Protocol):
    """Answers a request: a provider, or a wrapper around one. Its methods are those of Provider."""

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """All events of the reply at once."""

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """The events as they arrive."""


async def with_format_emulation(
    provider: Provider,
    request: GenerateRequest,
    model: str,
    *,
    processes: LimitedProcesses,
    record_usage: RecordUsage,
) -> ReplySource:
    """The provider itself where it supports the requested format, else a FormatEmulation around it.

    Raises:
        InvalidRequest: the requested schema is invalid, or cannot be checked.
    """
    kind = request.response_format.WhichOneof("format")
    if kind in (None, "text") or not isinstance(provider, LimitedFormats):
        return provider
    supported = provider.native_formats(request, model)
    if kind in supported:
        return provider
    spec = FormatSpec(request.response_format)
    validator = SchemaValidator(spec.schema, processes)
    await validator.check_schema()
    return FormatEmulation(provider, spec, validator, supported=supported, record_usage=record_usage)


class FormatEmulation(ReplySource):
    """Answers one request in a format that the provider does not support.

    Args:
        provider: generates the replies.
        spec: the requested format.
        validator: of the format's schema.
        supported: what the provider can be asked for: LimitedFormats.native_formats.
        record_usage: called with the cost of each reply.
    """

    def __init__(
        self,
        provider: Provider,
        spec: FormatSpec,
        validator: SchemaValidator,
        *,
        supported: frozenset[str],
        record_usage: RecordUsage,
    ) -> None:
        self._provider = provider
        self._spec = spec
        self._validator = validator
        self._supported = supported
        self._record_usage = record_usage

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        return await self._answer(request, lambda emulated: self._provider.generate(emulated, model))

    @override
    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        async def ask(emulated: GenerateRequest) -> Sequence[Event]:
            # Streamed, so that a slow model does not run into the read timeout.
            reply = list[Event]()
            try:
                async with aclosing(self._provider.stream(emulated, model)) as stream:
                    async for event in stream:
                        reply.append(event)
            except BaseException:
                # It ended before the backend reported usage, and is billed all the same.
                usage = usage_of(reply, emulated)
                if usage.output_tokens:
                    self._record_usage(usage)
                raise
            return reply

        for event in await self._answer(request, ask):
            yield event

    async def _answer(self, request: GenerateRequest, ask: Ask) -> Sequence[Event]:
        method = choose_method(self._spec, request, self._supported)
        emulated = initial_request(request, self._spec, method, self._supported)
        candidate, errors = await self._attempt(emulated, method, ask)
        if errors:
            first = candidate
            emulated = retry_request(emulated, first.text, first.answer_call, errors)
            candidate, errors = await self._attempt(emulated, method, ask)
            candidate.add_usage_of(first)
        if errors:
            first_error = errors.splitlines()[0].removesuffix(".")
            raise ResponseFormatMissed("the reply does not match the format", quote=first_error)
        if candidate.calls_own_tool:
            return candidate.original_events()
        return candidate.text_events(self._warning(method))

    async def _attempt(self, request: GenerateRequest, method: Method, ask: Ask) -> tuple[Candidate, str]:
        """A reply, and its validation errors."""
        candidate = Candidate(await ask(request), request, method)
        self._record_usage(candidate.usage)
        is_answer = candidate.complete and not candidate.calls_own_tool
        return candidate, await self._validator.errors_in(candidate.text) if is_answer else ""

    def _warning(self, method: Method) -> Warning:
        return Warning(
            code=FORM_EMULATED,
            field=f"response_format.{self._spec.kind}",
            message=(
                "The backend does not support this format: "
                f"it was asked for {METHOD_DESCRIPTIONS[method]}, and the reply was validated."
            ),
        )
