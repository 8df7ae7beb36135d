"""Tools for a model that cannot call them: a required call is JSON, held to the tools' schemas by a grammar.

Such a model cannot choose whether to call a tool, so tools that it may choose from are not offered.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson
from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, ROLE_TOOL, ROLE_USER, Message, Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, ToolChoice, Warning  # noqa: A004 - the contract has this name
from clawdbot_servicekit.structs import to_plain, to_struct

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.supported_fields import NOT_SUPPORTED, enforce_strict
from clawdbot_model_gateway.formats.tool_call import (
    arguments_object,
    arguments_text,
    call_from_object,
    structured_text,
)
from clawdbot_model_gateway.formats.vendor_json import load_exactly

ANY_ARGUMENTS: Final[Mapping[str, Any]] = {"type": "object"}
TOOLS_LEFT_OUT: Final = Warning(
    code=NOT_SUPPORTED,
    field="tools",
    message="The model cannot choose tools: they were left out, with the instructions that came with them.",
)
CALL_PROMPT: Final = "Answer by calling one of these functions, as JSON:"


def requires_call(request: GenerateRequest) -> bool:
    """Whether the reply has to be a tool call."""
    choice = request.tool_choice.mode
    return bool(request.tools) and choice in {ToolChoice.MODE_REQUIRED, ToolChoice.MODE_NAMED}


def without_tools(request: GenerateRequest, system_prompt: str = "") -> GenerateRequest:
    """The request in words that the model understands: earlier calls and their results as text, no tools.

    A required call becomes a response format: an object of `name` and `arguments`.

    Args:
        request: any request.
        system_prompt: in place of instructions that come with tools which are not offered, and where a
            request has none.
    """
    plain = GenerateRequest()
    plain.CopyFrom(request)
    for field in ("tools", "tool_choice", "messages"):
        plain.ClearField(field)
    plain.messages.extend(_conversation(request, system_prompt))
    if requires_call(request):
        tools = _callable(request)
        plain.ClearField("response_format")
        plain.response_format.json_schema.schema.CopyFrom(to_struct(_call_schema(tools)))
        _add_prompt(plain, "\n".join([CALL_PROMPT, *(_describe(tool) for tool in tools)]))
    return plain


async def with_calls(request: GenerateRequest, reply: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """The reply to `without_tools(request)`, as one to the request itself.

    Raises:
        InvalidRequest: the request is strict, and its tools are not offered.
    """
    required = requires_call(request)
    left_out = _tools_left_out(request) and request.tool_choice.mode != ToolChoice.MODE_NONE
    warnings = enforce_strict(request, [TOOLS_LEFT_OUT] if left_out else [])
    text = ""
    call: ToolCall | None = None
    async with aclosing(reply):
        async for event in reply:
            kind = event.WhichOneof("event")
            if kind == "started":
                event.started.warnings.extend(warnings)
            elif kind == "text_delta" and required:
                text += event.text_delta.text
                continue
            elif kind in {"usage", "finished"} and text and call is None:
                call = _parse(text)
                for each in _call_events(call):
                    yield each
            if kind == "finished" and required and event.finished.finish_reason == FINISH_REASON_STOP:
                reason = FINISH_REASON_MODEL_ERROR if call is None else FINISH_REASON_TOOL_CALLS
                yield events.finished(reason, event.finished.raw_finish_reason)
            else:
                yield event


def _tools_left_out(request: GenerateRequest) -> bool:
    return bool(request.tools) and not requires_call(request)


def _conversation(request: GenerateRequest, system_prompt: str) -> Iterator[Message]:
    """The messages as text. They begin with the person's: such models know no others."""
    instructions = [each for each in request.messages if each.role == ROLE_SYSTEM]
    if system_prompt and (_tools_left_out(request) or not instructions):
        instructions = [Message(role=ROLE_SYSTEM, parts=[Part(text=system_prompt)])]
    yield from instructions
    others = [each for each in request.messages if each.role != ROLE_SYSTEM]
    first = next((index for index, each in enumerate(others) if each.role == ROLE_USER), 0)
    yield from map(_as_text, others[first:])


def _callable(request: GenerateRequest) -> list[ToolSpec]:
    choice = request.tool_choice
    named = choice.mode == ToolChoice.MODE_NAMED
    return [tool for tool in request.tools if not named or tool.name == choice.name]


def _call_schema(tools: list[ToolSpec]) -> dict[str, Any]:
    """An object with the name of one of the tools, and arguments that its schema allows."""
    schemas = {f"tool_{index}": to_plain(tool.input_schema) for index, tool in enumerate(tools)}
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": {"$ref": f"#/$defs/{key}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool, key in zip(tools, schemas, strict=True)
    ]
    definitions = {key: _moved(schema, f"#/$defs/{key}") or ANY_ARGUMENTS for key, schema in schemas.items()}
    return {"$defs": definitions, **(calls[0] if len(calls) == 1 else {"anyOf": calls})}


def _moved(schema: Any, place: str) -> Any:
    """The schema with references that hold at another place."""
    if isinstance(schema, dict):
        return {
            key: place + value[1:]
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, place)
            for key, value in schema.items()
        }
    return [_moved(each, place) for each in schema] if isinstance(schema, list) else schema


def _describe(tool: ToolSpec) -> str:
    parameters = ", ".join(to_plain(tool.input_schema).get("properties", {}))
    return f"- {tool.name}({parameters}): {tool.description}"


def _add_prompt(request: GenerateRequest, prompt: str) -> None:
    """Adds to the system message, or as one: templates take only one, at the start."""
    if request.messages[0].role == ROLE_SYSTEM:
        request.messages[0].parts.add(text=f"\n\n{prompt}")
        return
    messages = list(request.messages)
    request.ClearField("messages")
    request.messages.extend([Message(role=ROLE_SYSTEM, parts=[Part(text=prompt)]), *messages])


def _as_text(message: Message) -> Message:
    """The message with its calls and results as text: templates of such models have no place for them."""
    if not any(part.HasField("tool_call") or part.HasField("tool_result") for part in message.parts):
        return message
    role = ROLE_USER if message.role == ROLE_TOOL else message.role
    return Message(role=role, name=message.name, parts=[_part_as_text(part) for part in message.parts])


def _part_as_text(part: Part) -> Part:
    if part.HasField("tool_call"):
        call = part.tool_call
        return Part(text=_call_text(call.name, arguments_object(call)))
    if part.HasField("tool_result"):
        result = part.tool_result
        text = "\n".join(each.text for each in result.content if each.text)
        text = text or structured_text(result) or "{}"
        return Part(text=f"{result.name or 'The tool'} returned: {text}")
    return part


def _call_text(name: str, arguments: Any) -> str:
    return orjson.dumps({"name": name, "arguments": arguments}).decode()


def _parse(text: str) -> ToolCall | None:
    """The call; None if the text was cut off."""
    try:
        plain = load_exactly(text.encode())
        return call_from_object(f"call_{secrets.token_hex(12)}", plain["name"], plain["arguments"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _call_events(call: ToolCall | None) -> list[Event]:
    if call is None:
        return []
    return [
        events.tool_call_started(0, call.id, call.name),
        events.tool_call_delta(0, arguments_text(call)),
        events.tool_call_done(0, call),
    ]
