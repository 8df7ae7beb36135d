"""Builds requests to models, and checks the grammar of a reply's events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_USER, Message, Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, Sampling, StreamGenerateResponse

Event = StreamGenerateResponse


def says(text: str, role: int = ROLE_USER) -> Message:
    """A message with one text."""
    return Message(role=role, parts=[Part(text=text)])


def calling(*call_ids: str, tool: str = "clock.now") -> Message:
    """A message of the model that calls a tool, with these ids."""
    parts = [Part(tool_call=ToolCall(id=each, name=tool)) for each in call_ids]
    return Message(role=ROLE_ASSISTANT, parts=parts)


def asks(*messages: str | Message, sampling: dict[str, Any] | None = None, **more: Any) -> GenerateRequest:
    """A request with these messages; a text becomes a user message."""
    contents = messages or ("Good evening",)
    request = GenerateRequest(
        messages=[says(each) if isinstance(each, str) else each for each in contents], **more
    )
    if sampling:
        request.sampling.CopyFrom(Sampling(**sampling))
    return request


def tool(name: str, description: str = "", **properties: Any) -> ToolSpec:
    """A tool whose arguments are an object with these properties."""
    spec = ToolSpec(name=name, description=description)
    spec.input_schema.update({"type": "object", "properties": properties})
    return spec


async def collect(stream: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(stream) as events:
        return [event async for event in events]


def kinds(events: Iterable[Event]) -> list[str]:
    """The kinds of the events, without repetitions."""
    result: list[str] = []
    for event in events:
        kind = event.WhichOneof("event") or ""
        if not result or result[-1] != kind:
            result.append(kind)
    return result


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text_delta.text for event in events)


def finish_of(events: Sequence[Event]) -> str:
    """The finish reason in lower case."""
    return FinishReason.Name(events[-1].finished.finish_reason).removeprefix("FINISH_REASON_").lower()


def check_grammar(events: Sequence[Event]) -> None:
    """Checks the events of a whole reply against the contract in core/provider.py."""
    names = [event.WhichOneof("event") for event in events]
    assert names[0] == "started"
    assert names.count("started") == 1
    assert names[-1] == "finished"
    assert names.count("finished") == 1
    assert names.count("usage") <= 1
    if "usage" in names:
        assert names.index("usage") == len(names) - 2
    assert events[-1].finished.finish_reason != FinishReason.FINISH_REASON_UNSPECIFIED
    _check_calls(events)


def _check_calls(events: Sequence[Event]) -> None:
    started: dict[int, str] = {}
    done: set[int] = set()
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "tool_call_started":
            call = event.tool_call_started
            assert call.index == len(started), "indexes count from 0"
            assert call.id
            assert call.name
            started[call.index] = call.id
        elif kind == "tool_call_delta":
            assert event.tool_call_delta.index in started
            assert event.tool_call_delta.index not in done
        elif kind == "tool_call_done":
            call_done = event.tool_call_done
            assert call_done.tool_call.id == started[call_done.index]
            assert call_done.index not in done
            done.add(call_done.index)
