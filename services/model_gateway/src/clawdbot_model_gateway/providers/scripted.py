"""A model that replies as its script says, with delays and errors: for tests of flows and of failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED
from clawdbot.common.v1.message_pb2 import Message, Part
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import Section
from clawdbot_servicekit.structs import to_struct
from typing_extensions import override

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed, RequestRefused
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Provider, VendorModel
from clawdbot_model_gateway.core.supported_fields import warnings_for
from clawdbot_model_gateway.formats.tool_call import call_from_object
from clawdbot_model_gateway.providers.script import (
    FINISH_REASONS,
    SCRIPTED_ERRORS,
    ScriptedError,
    ScriptedReply,
    ScriptedSettings,
)
from clawdbot_model_gateway.providers.text_chunks import split_chunks
from clawdbot_model_gateway.settings import BackendSettings

MODEL = "scripted"

SUPPORTED_FIELDS = frozenset(
    {
        *(f"sampling.{name}" for name in ("max_tokens", "temperature", "top_p", "top_k", "stop", "seed")),
        *(f"sampling.{name}" for name in ("presence_penalty", "frequency_penalty", "reasoning_effort")),
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
"""The author of a script has considered every field; only what our reply has no field for gives a warning."""


class ScriptedProvider(Provider):
    """Sends the first reply that matches."""

    options: ClassVar[type[Section]] = ScriptedSettings

    def __init__(self, settings: BackendSettings, options: ScriptedSettings) -> None:
        """Raises StartupError for a script that is not valid."""
        self._script = options.script()
        for reply in self._script:
            for call in reply.tool_calls:
                _check_arguments(call.name, call.arguments)
        self._models = {MODEL, *(reply.model for reply in self._script if reply.model)}
        self._provider = settings.provider
        self._times_used: Counter[int] = Counter()

    @property
    @override
    def endpoint(self) -> str:
        return ""

    @property
    @override
    def open_connections(self) -> int:
        return 0

    @override
    async def start(self) -> None:
        """There is nothing to open."""

    @override
    async def stop(self) -> None:
        """There is nothing to close."""

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        """The models of the script, and "scripted"."""
        return [VendorModel(MODEL), *map(VendorModel, sorted(self._models - {MODEL}))]

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        return [event async for event in self.stream(request, model)]

    @override
    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        warnings = warnings_for(request, SUPPORTED_FIELDS, self._provider)
        reply = self._choose(request, model)
        yield events.started(model, warnings)
        await asyncio.sleep(reply.delay)
        count = 0
        for event in _content(reply):
            if count:
                await asyncio.sleep(reply.pace)
            if await _is_cut(reply.fault, count):
                break
            yield event
            count += 1
        else:
            if not await _is_cut(reply.fault, count):
                for event in _last_events(reply):
                    yield event
                return
        if not count:
            raise BackendFailed("the connection ended before the reply began")
        yield events.finished(FINISH_REASON_TRUNCATED)

    def _choose(self, request: GenerateRequest, model: str) -> ScriptedReply:
        for index, reply in enumerate(self._script):
            used_up = reply.times is not None and self._times_used[index] >= reply.times
            if not used_up and _matches(reply, request.messages, model):
                self._times_used[index] += 1
                return reply
        raise RequestRefused("the script has no reply to this request")


async def _is_cut(fault: ScriptedError | None, count: int) -> bool:
    """Whether the connection ends after `count` chunks; other kinds of error raise, or never return."""
    if fault is None or count != fault.after:
        return False
    if fault.kind == "hang":
        await asyncio.Event().wait()
    if fault.kind == "cut":
        return True
    raise SCRIPTED_ERRORS[fault.kind]("the script raises this error", retry_after=fault.retry_after)


def _content(reply: ScriptedReply) -> Iterator[Event]:
    for chunk in split_chunks(reply.reasoning):
        yield events.reasoning_delta(chunk)
    for chunk in split_chunks(reply.text):
        yield events.text_delta(chunk)
    for index, call in enumerate(reply.tool_calls):
        call_id = call.id or f"call_{index + 1}"
        yield events.tool_call_started(index, call_id, call.name)
        tool_call = call_from_object(call_id, call.name, call.arguments)
        if tool_call is not None:  # as for every script that has been read
            yield events.tool_call_delta(index, tool_call.arguments_json)
            yield events.tool_call_done(index, tool_call)


def _last_events(reply: ScriptedReply) -> Iterator[Event]:
    if reply.usage is not None:
        yield events.usage(
            Usage(
                input_tokens=reply.usage.input,
                output_tokens=reply.usage.output,
                cached_tokens=reply.usage.cached,
                reasoning_tokens=reply.usage.reasoning,
                provenance=USAGE_PROVENANCE_REPORTED,
            )
        )
    finish = reply.finish or ("tool_calls" if reply.tool_calls else "stop")
    yield events.finished(FINISH_REASONS[finish], finish if reply.raw_finish is None else reply.raw_finish)


def _matches(reply: ScriptedReply, messages: Sequence[Message], model: str) -> bool:
    last = messages[-1]
    if reply.model is not None and reply.model != model:
        return False
    if reply.after_tool is not None and reply.after_tool not in _tools_of_results(messages):
        return False
    return reply.when is None or reply.when.lower() in "\n".join(map(_text_of, last.parts)).lower()


def _tools_of_results(messages: Sequence[Message]) -> set[str]:
    """The tools whose results the last message contains; only its call may name a result's tool."""
    results = [part.tool_result for part in messages[-1].parts if part.WhichOneof("content") == "tool_result"]
    called = {
        part.tool_call.id: part.tool_call.name
        for message in messages
        for part in message.parts
        if part.WhichOneof("content") == "tool_call"
    }
    return {result.name or called.get(result.call_id, "") for result in results}


def _text_of(part: Part) -> str:
    if part.WhichOneof("content") == "tool_result":
        return "\n".join(map(_text_of, part.tool_result.content))
    return part.text


def _check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    try:
        to_struct(arguments)
    except ValueError as error:
        raise StartupError(f"The script calls {name} with invalid arguments: {error}.") from None
