"""Tests a model with three requests: what came back, and how fast. It prints nothing.

Only the first request decides whether the model works: many good models can neither call tools nor follow a
JSON schema.
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
    CachePolicy,
    GenerateRequest,
    JsonSchemaFormat,
    ResponseFormat,
    Sampling,
    StreamGenerateResponse,
    ToolChoice,
)
from clawdbot_servicekit.errors import RemoteError

from clawdbot_cli.models.client import ModelClient

MAX_TOKENS: Final = 512
"""Limit of one reply: enough for a model that reasons first."""
REQUEST_TIMEOUT: Final = 300.0
"""Seconds for one request: a model on a laptop may have to be loaded first."""

COMPLETE: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_LENGTH, FINISH_REASON_TOOL_CALLS})
"""Finish reasons of a reply that was not cut off by an error."""

EMULATED: Final = "FORM_EMULATED"
"""Code of the gateway's warning that it enforced the format of a reply itself."""

NATIVE: Final = "through the backend's own response format"
"""How the JSON was requested where the gateway did not emulate it."""

REPLY: Final = "replies"
TOOL_CALL: Final = "calls a tool"
JSON_SCHEMA: Final = "follows a JSON schema"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    name: str
    passed: bool
    detail: str
    """What was found, for a person."""


@dataclass(slots=True)
class Reply:
    """A streamed reply and its timing."""

    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: int = 0
    target: str = ""
    usage: Usage = field(default_factory=Usage)
    warnings: list[str] = field(default_factory=list)
    emulations: list[str] = field(default_factory=list)
    """What the gateway did in place of the backend."""
    first_token_seconds: float | None = None
    """Until the first token, reasoning included; None if there was none."""
    last_token_seconds: float = 0.0
    """Until the last token."""

    @property
    def tokens_per_second(self) -> float | None:
        """Speed after the first token; None if there were too few tokens."""
        tokens = self.usage.output_tokens - 1
        first, last = self.first_token_seconds, self.last_token_seconds
        if first is None or tokens < 1 or last <= first:
            return None
        return tokens / (last - first)

    @property
    def finish_reason_name(self) -> str:
        """The finish reason as a word: "STOP"."""
        return FinishReason.Name(self.finish_reason).removeprefix("FINISH_REASON_")  # type: ignore[arg-type]


class ModelCheck:
    """Runs the checks on one model.

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

    async def check_reply(self) -> tuple[CheckResult, Reply]:
        """Asks for a few sentences, and measures the time.

        Raises:
            RemoteError: the model cannot be reached at all.
        """
        reply = await self._generate(_request("Say hello, and then count from one to twenty in words."))
        first, speed = reply.first_token_seconds, reply.tokens_per_second
        if first is None or reply.finish_reason not in COMPLETE:
            problem = "the reply is empty" if first is None else "the reply was cut off"
            detail = f"{problem} ({reply.finish_reason_name})"
            return CheckResult(REPLY, passed=False, detail=detail), reply
        then = f", then {speed:.1f} tokens/s" if speed is not None else ""
        return CheckResult(REPLY, passed=True, detail=f"first token after {first * 1000:.0f} ms{then}"), reply

    async def check_tool_call(self) -> CheckResult:
        """Asks a question that can only be answered with a tool call."""
        request = _request("What is the weather in Lisbon? Use the tool.")
        spec = ToolSpec(name="weather", description="Tells the weather in a city.")
        city = {"type": "string", "description": "Name of the city."}
        spec.input_schema.update({"type": "object", "properties": {"city": city}, "required": ["city"]})
        request.tools.append(spec)
        request.tool_choice.mode = ToolChoice.MODE_AUTO
        return await self._check(TOOL_CALL, request, _tool_call_problem)

    async def check_json_schema(self) -> CheckResult:
        """Asks for an object with two fields."""
        request = _request('Ada is 36 years old. Answer as JSON with "name" and "age".')
        properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
        json_schema = JsonSchemaFormat(name="person")
        json_schema.schema.update(
            {
                "type": "object",
                "properties": properties,
                "required": ["name", "age"],
                "additionalProperties": False,
            }
        )
        request.response_format.CopyFrom(ResponseFormat(json_schema=json_schema))
        return await self._check(JSON_SCHEMA, request, _json_problem, NATIVE)

    async def _check(
        self, name: str, request: GenerateRequest, find_problem: Callable[[Reply], str], *native: str
    ) -> CheckResult:
        try:
            reply = await self._generate(request)
        except RemoteError as error:
            detail = f"{error.message} ({error.reason or error.code})"
            return CheckResult(name, passed=False, detail=detail)
        problem = find_problem(reply)
        if not problem:
            return CheckResult(name, passed=True, detail="; ".join(["yes", *(reply.emulations or native)]))
        return CheckResult(name, passed=False, detail="; ".join([problem, *reply.warnings]))

    async def _generate(self, request: GenerateRequest) -> Reply:
        request.model = self._model
        reply, started = Reply(), self._clock()
        async with aclosing(self._client.stream_generate(request, REQUEST_TIMEOUT)) as events:
            async for event in events:
                _accumulate(reply, event, self._clock() - started)
        return reply


def _accumulate(reply: Reply, event: StreamGenerateResponse, now: float) -> None:
    kind = event.WhichOneof("event")
    if kind in {"text_delta", "reasoning_delta", "tool_call_started"}:
        reply.first_token_seconds = now if reply.first_token_seconds is None else reply.first_token_seconds
        reply.last_token_seconds = now
    if kind == "started":
        reply.target = f"{event.started.backend}/{event.started.model}"
        for warning in event.started.warnings:
            if warning.code == EMULATED:
                reply.emulations.append(warning.message)
            else:
                reply.warnings.append(f"{warning.field}: {warning.message}")
    elif kind == "text_delta":
        reply.text += event.text_delta.text
    elif kind == "tool_call_done":
        reply.tool_calls.append(event.tool_call_done.tool_call)
    elif kind == "usage":
        reply.usage = event.usage
    elif kind == "finished":
        reply.finish_reason = event.finished.finish_reason


def _request(text: str) -> GenerateRequest:
    message = Message(role=ROLE_USER, parts=[Part(text=text)])
    return GenerateRequest(
        messages=[message],
        sampling=Sampling(max_tokens=MAX_TOKENS),
        # The model is tested, and not what it said last time.
        cache=CachePolicy(mode=CachePolicy.MODE_BYPASS),
    )


def _tool_call_problem(reply: Reply) -> str:
    """What is wrong with the tool call; empty if nothing is."""
    if not reply.tool_calls:
        return f"the reply has no tool call ({reply.finish_reason_name})"
    call = reply.tool_calls[0]
    if call.name != "weather" or "lisbon" not in str(dict(call.arguments).get("city", "")).lower():
        return f"it called {call.name} with {dict(call.arguments)}"
    return ""


def _json_problem(reply: Reply) -> str:
    """What is wrong with the JSON; empty if nothing is."""
    try:
        value = json.loads(reply.text)
    except ValueError:
        return f"the reply is not JSON ({reply.finish_reason_name})"
    if not isinstance(value, dict) or value.keys() != {"name", "age"}:
        return "the JSON does not have the fields of the schema"
    if value["age"] != 36 or not isinstance(value["name"], str):
        return "the JSON has wrong values"
    return ""
