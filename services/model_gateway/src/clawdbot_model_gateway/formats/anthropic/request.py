"""A GenerateRequest as the body of POST /v1/messages, and of POST /v1/messages/count_tokens.

Source: Anthropic's API reference, versions 2023-06-01 and 2026-10-21.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import to_json, to_plain

from clawdbot_model_gateway.core.supported_fields import NOT_SUPPORTED, not_supported, told, warnings_for
from clawdbot_model_gateway.formats.anthropic.messages import MessageWriter
from clawdbot_model_gateway.formats.anthropic.models import ModelFacts
from clawdbot_model_gateway.formats.anthropic.schema import closed
from clawdbot_model_gateway.formats.anthropic.thinking import set_thinking
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames

Wire = dict[str, Any]

SAMPLING: Final = {
    "max_tokens": "max_tokens",
    "stop": "stop_sequences",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
}
"""Our name → the wire's."""
HONOURED: Final = frozenset(
    {
        *(f"sampling.{each}" for each in SAMPLING),
        "sampling.reasoning_effort",
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json_schema",
        "provider_options",
    }
)
"""What the wire has a field for. Not response_format.json: the gateway asks for it in words."""

USUAL_MAX_TOKENS: Final = 16_384
"""The API wants a number, which thought is part of; where nobody says one. Every model of the day can do
more."""

RESERVED: Final = frozenset({"max_tokens", "messages", "model", "stream", "system"})
"""Fields that provider_options may not set: the request has its own for them."""
COUNTED: Final = frozenset(
    {"messages", "model", "output_config", "system", "thinking", "tool_choice", "tools", "cache_control"}
)
"""Fields of a body that count_tokens takes."""
NO_ARGUMENTS: Final = b'{"type":"object","properties":{}}'
_CHOICES: Final = {
    ToolChoice.MODE_AUTO: "auto",
    ToolChoice.MODE_NONE: "none",
    ToolChoice.MODE_REQUIRED: "any",
    ToolChoice.MODE_NAMED: "tool",
}


@dataclass(frozen=True, slots=True)
class Usual:
    """What a backend does where a request says nothing."""

    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Our names → values."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every body."""
    unsupported: AbstractSet[str] = frozenset()
    """Paths of fields that this version of the API refuses."""


@dataclass(slots=True)
class Encoded:
    """A request on the wire."""

    body: bytes
    names: ToolNames
    warnings: list[Warning]


class RequestWriter:
    """Writes requests for one backend."""

    def __init__(self, provider: str, usual: Usual) -> None:
        """Args: provider: the name that warnings show."""
        self._provider = provider
        self._usual = usual
        self._honoured = HONOURED - usual.unsupported

    def write(self, request: GenerateRequest, model: str, facts: ModelFacts) -> Encoded:
        """The body of a streamed request.

        Raises:
            InvalidRequest: the request is strict and holds what the wire cannot carry, or its
                provider_options set a reserved field.
        """
        body, names, warnings = self._write(request, model, facts)
        body["stream"] = True
        return Encoded(orjson.dumps(body), names, warnings)

    def write_count(self, request: GenerateRequest, model: str, facts: ModelFacts) -> bytes:
        """The body that asks how many tokens the same request has.

        Raises:
            InvalidRequest: as for write.
        """
        body, _, _ = self._write(request, model, facts)
        return orjson.dumps({name: value for name, value in body.items() if name in COUNTED})

    def _write(
        self, request: GenerateRequest, model: str, facts: ModelFacts
    ) -> tuple[Wire, ToolNames, list[Warning]]:
        names = ToolNames(tool.name for tool in request.tools)
        writer = MessageWriter(names)
        warnings = warnings_for(request, self._honoured, self._provider)
        body: Wire = {"model": model, **self._usual.body, "messages": writer.write(request.messages)}
        body.update(self._sampling(request, facts))
        if request.tools:
            body["tools"] = [_tool(tool, names) for tool in request.tools]
            choice = _choice(request.tool_choice, names)
            if choice is not None:
                body["tool_choice"] = choice
        format_warnings = self._format(request, body)
        unsupported = [*writer.unsupported, *set_thinking(request, facts, body)]
        if writer.system:
            body["system"] = writer.system
        if request.HasField("provider_options"):
            _options(to_plain(request.provider_options), body)
        left_out = [not_supported(each, self._provider) for each in unsupported]
        warnings += told(request, left_out + format_warnings)
        asked = {each.field for each in warnings}
        warnings += [each for each in self._not_usual() if each.field not in asked]
        return body, names, warnings

    def _sampling(self, request: GenerateRequest, facts: ModelFacts) -> Wire:
        said = dict(self._usual.sampling)
        for descriptor, value in request.sampling.ListFields():
            said[descriptor.name] = list(value) if descriptor.name == "stop" else value
        said.setdefault("max_tokens", min(USUAL_MAX_TOKENS, facts.max_tokens or USUAL_MAX_TOKENS))
        return {
            wire: said[name]
            for name, wire in SAMPLING.items()
            if name in said and f"sampling.{name}" in self._honoured
        }

    def _not_usual(self) -> Iterator[Warning]:
        """What the backend is configured to do always and cannot: told, and no fault of the request's."""
        for name in self._usual.sampling:
            if f"sampling.{name}" not in self._honoured:
                yield not_supported(f"sampling.{name}", self._provider)

    def _format(self, request: GenerateRequest, body: Wire) -> list[Warning]:
        wanted = request.response_format
        kind = wanted.WhichOneof("format")
        if kind != "json_schema":
            return []
        schema, loose = closed(to_plain(wanted.json_schema.schema))
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if not loose:
            return []
        message = f"{self._provider} tells the model of these and does not enforce them: {', '.join(loose)}."
        return [Warning(code=NOT_SUPPORTED, field="response_format.json_schema.schema", message=message)]


def _tool(tool: ToolSpec, names: ToolNames) -> Wire:
    schema = to_json(tool.input_schema) if tool.input_schema.fields else NO_ARGUMENTS
    described = {"description": tool.description} if tool.description else {}
    return {"name": names.wire(tool.name), **described, "input_schema": orjson.Fragment(schema)}


def _choice(choice: ToolChoice, names: ToolNames) -> Wire | None:
    kind = _CHOICES.get(choice.mode, "auto" if choice.disable_parallel else None)
    if kind is None:
        return None
    wire: Wire = {"type": kind}
    if kind == "tool":
        wire["name"] = names.wire(choice.name)
    if choice.disable_parallel and kind != "none":
        wire["disable_parallel_tool_use"] = True
    return wire


def _options(options: Wire, body: Wire) -> None:
    """The vendor's own fields. Its tools come beside ours, its output_config goes into ours."""
    for name, value in options.items():
        if name in RESERVED:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway.")
        if name == "tools" and isinstance(value, list):
            body["tools"] = [*body.get("tools", ()), *value]
        elif name == "output_config" and isinstance(value, dict):
            body[name] = {**body.get(name, {}), **value}
        else:
            body[name] = value
