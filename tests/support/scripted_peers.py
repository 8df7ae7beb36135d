"""The turn engine's ports, scripted by a test: models, tools, hooks and lease owners."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from clawdbot.common.v1.message_pb2 import Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1 import generation_pb2 as pb
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot.plugins.v1.tool_service_pb2 import (
    TOOL_EFFECT_NONE,
    TOOL_EFFECT_ONCE,
    TOOL_EFFECT_REPEATABLE,
    TOOL_EFFECT_UNSPECIFIED,
    InvokeToolRequest,
    Tool,
    ToolOutcome,
)
from clawdbot_servicekit.structs import to_plain, to_struct

EFFECTS = {
    "": TOOL_EFFECT_UNSPECIFIED,
    "none": TOOL_EFFECT_NONE,
    "repeatable": TOOL_EFFECT_REPEATABLE,
    "once": TOOL_EFFECT_ONCE,
}


def call(name: str, call_id: str = "", **arguments: Any) -> ToolCall:
    """A tool call as a model makes it."""
    return ToolCall(id=call_id, name=name, arguments=to_struct(arguments))


@dataclass
class Hold:
    """A point in a script that waits until the test sets `go_on`."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.reached.set()
        await self.go_on.wait()


BROKEN_OFF = object()
"""In a script: the stream ends here, without its last events."""


class ScriptedGateway:
    """Answers each generation with the next script: texts, ToolCalls, Holds, exceptions.

    Without a script it replies "Echo: " and the last message.
    """

    def __init__(self) -> None:
        self.scripts: deque[Sequence[object]] = deque()
        self.requests: list[pb.GenerateRequest] = []
        self.open = 0
        """Generations that are running."""

    async def stream(
        self, wire_request: pb.StreamGenerateRequest, take: Callable[[pb.StreamGenerateResponse], None]
    ) -> None:
        async with aclosing(self.events(wire_request)) as events:
            async for event in events:
                take(event)

    async def events(
        self, wire_request: pb.StreamGenerateRequest
    ) -> AsyncGenerator[pb.StreamGenerateResponse, None]:
        """The events of a reply."""
        request = wire_request.request
        self.requests.append(request)
        text = request.messages[-1].parts[0].text if request.messages else ""
        script = self.scripts.popleft() if self.scripts else [f"Echo: {text}"]
        self.open += 1
        try:
            async for event in self._events(script):
                yield event
        finally:
            self.open -= 1

    async def _events(self, script: Sequence[object]) -> AsyncGenerator[pb.StreamGenerateResponse, None]:
        yield pb.StreamGenerateResponse(started=pb.GenerationStarted(model="scripted"))
        calls = 0
        for each in script:
            if isinstance(each, str):
                yield pb.StreamGenerateResponse(text_delta=pb.TextDelta(text=each))
            elif isinstance(each, ToolCall):
                done = pb.ToolCallDone(index=calls, tool_call=each)
                yield pb.StreamGenerateResponse(tool_call_done=done)
                calls += 1
            elif isinstance(each, Hold):
                await each.wait()
            elif isinstance(each, Exception):
                raise each
            elif each is BROKEN_OFF:
                return
        usage = Usage(input_tokens=10, output_tokens=5, provenance=USAGE_PROVENANCE_REPORTED)
        yield pb.StreamGenerateResponse(usage=usage)
        reason = FINISH_REASON_TOOL_CALLS if calls else FINISH_REASON_STOP
        yield pb.StreamGenerateResponse(finished=pb.GenerationFinished(finish_reason=reason))


class ScriptedTools:
    """Tools by name. A behavior is a result, an exception, a Hold, or a function of the arguments."""

    def __init__(self) -> None:
        self.calls: list[InvokeToolRequest] = []
        """Every call, in order."""
        self.running = 0
        self._tools: dict[str, Tool] = {}
        self._behaviors: dict[str, Any] = {}

    def add(self, name: str, behavior: Any, effect: str = "none") -> None:
        spec = ToolSpec(name=name, description=name, input_schema=to_struct({"type": "object"}))
        self._tools[name] = Tool(spec=spec, effect=EFFECTS[effect])
        self._behaviors[name] = behavior

    def names(self) -> list[str]:
        """The tools of the calls, in order."""
        return [each.tool for each in self.calls]

    async def tools(self, names: Sequence[str]) -> Mapping[str, Tool]:
        return {name: self._tools[name] for name in names if name in self._tools}

    async def invoke(self, request: InvokeToolRequest) -> ToolOutcome:
        self.calls.append(request)
        self.running += 1
        try:
            behavior = self._behaviors[request.tool]
            if callable(behavior):
                behavior = behavior(to_plain(request.arguments))
                if inspect.isawaitable(behavior):
                    behavior = await behavior
            if isinstance(behavior, Hold):
                await behavior.wait()
                behavior = {"ok": True}
        finally:
            self.running -= 1
        if isinstance(behavior, Exception):
            raise behavior
        if isinstance(behavior, ToolOutcome):
            return behavior
        failed = bool(behavior.get("failed"))
        return ToolOutcome(
            content=[Part(text=str(behavior))], structured=to_struct(behavior), is_error=failed
        )


class ScriptedHooks:
    """Gates raise `refusal` if it is set; the events of observers are collected."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.gated: list[HookSubject] = []
        self.observed: list[HookSubject] = []
        self.unobserved: set[str] = set()
        """Points that no plugin observes."""

    async def gate(self, subject: HookSubject) -> None:
        self.gated.append(subject)
        if self.refusal is not None:
            raise self.refusal

    def observes(self, point: str) -> bool:
        return point not in self.unobserved

    def observe(self, subject: HookSubject) -> None:
        self.observed.append(subject)


class OwnerRegistry:
    """Which lease owners are dead, as all engines of a test see it."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self._count = 0

    def register(self) -> RegisteredOwner:
        self._count += 1
        return RegisteredOwner(self, f"engine-{self._count}")


@dataclass
class RegisteredOwner:
    """One engine's LeaseOwners."""

    registry: OwnerRegistry
    me: str

    def gone(self, owner: str) -> bool:
        return owner in self.registry.dead
