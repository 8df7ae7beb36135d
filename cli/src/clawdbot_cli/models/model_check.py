"""Whether a model works: three requests, what came back, and how fast.

It judges; it shows nothing. Only the first request decides whether the model answers: many good models can
neither call tools nor keep to a schema.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FinishReason,
)
from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    JsonSchemaFormat,
    ResponseFormat,
    Sampling,
    StreamGenerateResponse,
    ToolChoice,
)
from clawdbot_servicekit.errors import RemoteError

from clawdbot_cli.models.client import ModelClient

LIMIT: Final = 512
"""Tokens of a reply at most: enough for a model that thinks first."""
PATIENCE: Final = 300.0
"""Seconds for one request: a model on a laptop may have to be loaded first."""

WHOLE: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_LENGTH, FINISH_REASON_TOOL_CALLS})
"""Finish reasons after which what was said counts."""

EMULATED: Final = "FORM_EMULATED"
"""The warning that the gateway itself saw to the form of a reply."""

NATIVE: Final = "asked for by the backend's own field"
"""How JSON was got where the gateway did not see to it."""

ANSWER: Final = "it answers"
TOOL_CALL: Final = "it calls a tool"
JSON: Final = "it keeps to a JSON schema"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    passed: bool
    told: str
    """What was found, for a person."""


@dataclass(slots=True)
class Reply:
    """A reply as it came, with times."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish: int = 0
    target: str = ""
    usage: Usage = field(default_factory=Usage)
    warnings: list[str] = field(default_factory=list)
    emulated: list[str] = field(default_factory=list)
    """What the gateway did in the backend's place."""
    first: float | None = None
    """Seconds to the first word, thoughts included; None: nothing was said."""
    last: float = 0.0
    """Seconds to the last one."""

    @property
    def speed(self) -> float | None:
        """Tokens a second after the first; None where there were too few to tell."""
        tokens = self.usage.output_tokens - 1
        if self.first is None or tokens < 1 or self.last <= self.first:
            return None
        return tokens / (self.last - self.first)

    @property
    def ended(self) -> str:
        """The finish reason, as a word."""
        return FinishReason.Name(self.finish).removeprefix("FINISH_REASON_")  # type: ignore[arg-type]


class Trial:
    """Tries one model.

    Args:
        client: the gateway.
        model: alias or target.
        clock: monotonic seconds.
    """

    def __init__(
        self, client: ModelClient, model: str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._client = client
        self._model = model
        self._clock = clock

    async def answers(self) -> tuple[Check, Reply]:
        """A few sentences, timed.

        Raises:
            RemoteError: the model cannot be reached at all.
        """
        reply = await self._ask(_says("Say hello, and then count from one to twenty in words."))
        if reply.first is None or reply.finish not in WHOLE:
            said = "nothing was said" if reply.first is None else "it broke off"
            return Check(ANSWER, passed=False, told=f"{said} ({reply.ended})"), reply
        speed = f", then {reply.speed:.1f} tokens/s" if reply.speed is not None else ""
        told = f"first token after {reply.first * 1000:.0f} ms{speed}"
        return Check(ANSWER, passed=True, told=told), reply

    async def calls_a_tool(self) -> Check:
        """One call that the question leaves no way around."""
        request = _says("What is the weather in Lisbon? Use the tool.")
        spec = ToolSpec(name="weather", description="Tells the weather in a city.")
        city = {"type": "string", "description": "Name of the city."}
        spec.input_schema.update({"type": "object", "properties": {"city": city}, "required": ["city"]})
        request.tools.append(spec)
        request.tool_choice.mode = ToolChoice.MODE_AUTO
        return await self._check(TOOL_CALL, request, _judge_call)

    async def keeps_to_a_schema(self) -> Check:
        """An object of two fields."""
        request = _says('Ada is 36 years old. Answer as JSON with "name" and "age".')
        kinds = {"name": {"type": "string"}, "age": {"type": "integer"}}
        shape = JsonSchemaFormat(name="person")
        shape.schema.update(
            {
                "type": "object",
                "properties": kinds,
                "required": ["name", "age"],
                "additionalProperties": False,
            }
        )
        request.response_format.CopyFrom(ResponseFormat(json_schema=shape))
        return await self._check(JSON, request, _judge_json, NATIVE)

    async def _check(
        self, name: str, request: GenerateRequest, judge: Callable[[Reply], str], *plain: str
    ) -> Check:
        try:
            reply = await self._ask(request)
        except RemoteError as fault:
            return Check(name, passed=False, told=f"{fault.message} ({fault.reason or fault.code})")
        fault_found = judge(reply)
        yes = "; ".join(["yes", *(reply.emulated or plain)])
        if fault_found and reply.warnings:
            fault_found = f"{fault_found}; {'; '.join(reply.warnings)}"
        return Check(name, passed=not fault_found, told=fault_found or yes)

    async def _ask(self, request: GenerateRequest) -> Reply:
        request.model = self._model
        reply, begun = Reply(), self._clock()
        async with aclosing(self._client.stream(request, PATIENCE)) as events:
            async for event in events:
                _take(reply, event, self._clock() - begun)
        return reply


def _take(reply: Reply, event: StreamGenerateResponse, now: float) -> None:
    kind = event.WhichOneof("event")
    if kind in {"text_delta", "reasoning_delta", "tool_call_started"}:
        reply.first = now if reply.first is None else reply.first
        reply.last = now
    if kind == "started":
        reply.target = f"{event.started.backend}/{event.started.model}"
        for each in event.started.warnings:
            kept = reply.emulated if each.code == EMULATED else reply.warnings
            kept.append(each.message if each.code == EMULATED else f"{each.field}: {each.message}")
    elif kind == "text_delta":
        reply.text += event.text_delta.text
    elif kind == "tool_call_done":
        reply.calls.append(event.tool_call_done.tool_call)
    elif kind == "usage":
        reply.usage = event.usage
    elif kind == "finished":
        reply.finish = event.finished.finish_reason


def _says(text: str) -> GenerateRequest:
    message = Message(role=ROLE_USER, parts=[Part(text=text)])
    return GenerateRequest(messages=[message], sampling=Sampling(max_tokens=LIMIT))


def _judge_call(reply: Reply) -> str:
    """What is wrong; empty for a call as it should be."""
    if not reply.calls:
        return f"no call came ({reply.ended})"
    call = reply.calls[0]
    if call.name != "weather" or "lisbon" not in str(dict(call.arguments).get("city", "")).lower():
        return f"it called {call.name} with {dict(call.arguments)}"
    return ""


def _judge_json(reply: Reply) -> str:
    try:
        found = json.loads(reply.text)
    except ValueError:
        return f"what came is no JSON ({reply.ended})"
    if not isinstance(found, dict) or found.keys() != {"name", "age"}:
        return "what came is JSON of another shape"
    if found["age"] != 36 or not isinstance(found["name"], str):
        return "its fields hold what they should not"
    return ""
