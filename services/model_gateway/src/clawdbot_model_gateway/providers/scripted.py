"""A model that says what its script says, with delays and faults: for tests of flows and of failure."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import orjson
from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED
from clawdbot.common.v1.message_pb2 import Message, Part, ToolCall
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import Section
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed, ModelFailure, RequestRefused
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.supported_fields import warnings_for
from clawdbot_model_gateway.providers.script import FAULTS, FINISHES, Fault, ScriptedReply, ScriptedSettings
from clawdbot_model_gateway.providers.text_chunks import pieces_of
from clawdbot_model_gateway.settings import BackendSettings

MODEL = "scripted"

HONOURED = frozenset(
    {
        *(f"sampling.{each}" for each in ("max_tokens", "temperature", "top_p", "top_k", "stop", "seed")),
        *(f"sampling.{each}" for each in ("presence_penalty", "frequency_penalty", "reasoning_effort")),
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
"""The author of a script has thought of everything; only what no model of ours can answer gives a warning."""


class ScriptedProvider:
    """Gives the first reply that fits."""

    options: ClassVar[type[Section]] = ScriptedSettings

    def __init__(self, settings: BackendSettings, options: ScriptedSettings) -> None:
        """Raises StartupError for a script that is none."""
        self._script = options.script()
        for reply in self._script:
            for call in reply.tool_calls:
                _check(call.name, call.arguments)
        self._models = {MODEL, *(each.model for each in self._script if each.model)}
        self._provider = settings.provider
        self._given: Counter[int] = Counter()

    @property
    def endpoint(self) -> str:
        """As the port says: none."""
        return ""

    @property
    def open_connections(self) -> int:
        """As the port says: none."""
        return 0

    async def start(self) -> None:
        """As the port says: there is nothing to open."""

    async def stop(self) -> None:
        """As the port says: there is nothing to close."""

    async def list_models(self) -> Sequence[VendorModel]:
        """As the port says: those of the script, and "scripted"."""
        return [VendorModel(MODEL), *map(VendorModel, sorted(self._models - {MODEL}))]

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says."""
        return [event async for event in self.stream(request, model)]

    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        warnings = warnings_for(request, HONOURED, self._provider)
        reply = self._choose(request, model)
        yield events.started(model, warnings)
        await asyncio.sleep(reply.delay)
        count = 0
        for event in _content(reply):
            if count:
                await asyncio.sleep(reply.pace)
            if await _fails(reply.fault, count):
                break
            yield event
            count += 1
        else:
            if not await _fails(reply.fault, count):
                for event in _ending(reply):
                    yield event
                return
        if not count:
            raise BackendFailed("the connection ended before the reply began")
        yield events.finished(FINISH_REASON_TRUNCATED)

    def _choose(self, request: GenerateRequest, model: str) -> ScriptedReply:
        for place, reply in enumerate(self._script):
            used_up = reply.times is not None and self._given[place] >= reply.times
            if not used_up and _fits(reply, request.messages, model):
                self._given[place] += 1
                return reply
        raise RequestRefused("the script has no reply to this")


async def _fails(fault: Fault | None, count: int) -> bool:
    """Whether the connection ends here; other faults raise, or never return."""
    if fault is None or count != fault.after:
        return False
    if fault.kind == "hang":
        await asyncio.Event().wait()
    if fault.kind == "cut":
        return True
    raise _failure(fault)


def _failure(fault: Fault) -> ModelFailure:
    return FAULTS[fault.kind]("the script says so", retry_after=fault.retry_after)


def _content(reply: ScriptedReply) -> Iterator[Event]:
    for piece in pieces_of(reply.reasoning):
        yield events.reasoning(piece)
    for piece in pieces_of(reply.text):
        yield events.text(piece)
    for index, call in enumerate(reply.tool_calls):
        call_id = call.id or f"call_{index + 1}"
        yield events.tool_started(index, call_id, call.name)
        yield events.tool_delta(index, orjson.dumps(dict(call.arguments)).decode())
        whole = ToolCall(id=call_id, name=call.name, arguments=to_struct(call.arguments))
        yield events.tool_done(index, whole)


def _ending(reply: ScriptedReply) -> Iterator[Event]:
    if reply.usage is not None:
        yield events.used(
            Usage(
                input_tokens=reply.usage.input,
                output_tokens=reply.usage.output,
                cached_tokens=reply.usage.cached,
                reasoning_tokens=reply.usage.reasoning,
                provenance=USAGE_PROVENANCE_REPORTED,
            )
        )
    word = reply.finish or ("tool_calls" if reply.tool_calls else "stop")
    yield events.finished(FINISHES[word], word if reply.raw_finish is None else reply.raw_finish)


def _fits(reply: ScriptedReply, messages: Sequence[Message], model: str) -> bool:
    last = messages[-1]
    if reply.model is not None and reply.model != model:
        return False
    if reply.after_tool is not None and reply.after_tool not in _tools(messages):
        return False
    return reply.when is None or reply.when.lower() in "\n".join(map(_text, last.parts)).lower()


def _tools(messages: Sequence[Message]) -> set[str]:
    """The tools whose results the last message holds; a result may name its tool through its call only."""
    results = [each.tool_result for each in messages[-1].parts if each.WhichOneof("content") == "tool_result"]
    called = {
        part.tool_call.id: part.tool_call.name
        for message in messages
        for part in message.parts
        if part.WhichOneof("content") == "tool_call"
    }
    return {each.name or called.get(each.call_id, "") for each in results}


def _text(part: Part) -> str:
    if part.WhichOneof("content") == "tool_result":
        return "\n".join(map(_text, part.tool_result.content))
    return part.text


def _check(name: str, arguments: Mapping[str, Any]) -> None:
    try:
        to_struct(arguments)
    except ValueError as error:
        raise StartupError(f"The script's call of {name}: arguments: {error}.") from None
