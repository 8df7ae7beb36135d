"""A GenerateRequest as the body of POST /chat/completions.

Source: OpenAI's API reference, "Create chat completion", and where they differ vLLM's and llama.cpp's
    servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_MEDIUM,
    REASONING_EFFORT_NONE,
    GenerateRequest,
    ResponseFormat,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import to_json, to_plain

from clawdbot_model_gateway.core.supported_fields import forms_of, not_supported, told, warnings_for
from clawdbot_model_gateway.formats.chat.messages import MessageWriter
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames, wire_name

Wire = dict[str, Any]

HONOURED: Final = frozenset(
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
"""What the wire has a field for. Not logprobs: the contract's reply has no place for them."""

RESERVED: Final = frozenset({"messages", "model", "n", "stream", "stream_options"})
"""Fields that provider_options may not set: they say what the reply looks like."""

EFFORTS: Final = {
    REASONING_EFFORT_NONE: "none",
    REASONING_EFFORT_LOW: "low",
    REASONING_EFFORT_MEDIUM: "medium",
    REASONING_EFFORT_HIGH: "high",
}
NO_ARGUMENTS: Final = b'{"type":"object","properties":{}}'
KNOWN_SCHEMAS: Final = 512
"""Tools whose JSON is kept: the same ones come with every turn."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one server's Chat Completions differ from the common ones."""

    max_tokens: str = "max_tokens"
    """The field's name; OpenAI's own models want "max_completion_tokens"."""
    unsupported: AbstractSet[str] = frozenset()
    """Paths of fields that the server refuses."""
    usage_on_request: bool = True
    """Whether `stream_options` may ask for usage at the end of a stream."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a body that a request does not say otherwise, under their wire names."""


@dataclass(slots=True)
class Encoded:
    """A request on the wire."""

    body: bytes
    names: ToolNames
    warnings: list[Warning]


class RequestWriter:
    """Writes requests for one backend."""

    def __init__(self, provider: str, dialect: Dialect) -> None:
        """Args: provider: the name that warnings show."""
        self._provider = provider
        self._dialect = dialect
        self._honoured = HONOURED - dialect.unsupported
        self._tools: dict[bytes, bytes] = {}

    @property
    def forms(self) -> frozenset[str]:
        """The forms of a reply that the server has a field for; "tool", where a tool can be demanded."""
        return forms_of(self._honoured)

    def write(self, request: GenerateRequest, model: str, *, stream: bool) -> Encoded:
        """The body.

        Raises:
            InvalidRequest: the request is strict and holds what the wire cannot carry, or its
                provider_options set a reserved field.
        """
        names = ToolNames(tool.name for tool in request.tools)
        writer = MessageWriter(names)
        body: Wire = {"model": model, **self._dialect.defaults}
        body["messages"] = [
            each for place, message in enumerate(request.messages) for each in writer.write(place, message)
        ]
        body["messages"] += writer.rest()
        if request.HasField("sampling"):
            self._sampling(request, body)
        if request.tools:
            body["tools"] = [orjson.Fragment(self._tool(tool, names)) for tool in request.tools]
            self._choice(request.tool_choice, names, body)
        if request.HasField("response_format"):
            self._format(request.response_format, body)
        if request.HasField("provider_options"):
            body.update(_options(request))
        if stream:
            body["stream"] = True
            if self._dialect.usage_on_request:
                body["stream_options"] = {"include_usage": True}
        warnings = warnings_for(request, self._honoured, self._provider)
        if writer.unsupported:
            warnings += told(request, [not_supported(each, self._provider) for each in writer.unsupported])
        return Encoded(orjson.dumps(body), names, warnings)

    def _sampling(self, request: GenerateRequest, body: Wire) -> None:
        for descriptor, value in request.sampling.ListFields():
            name = descriptor.name
            if f"sampling.{name}" not in self._honoured:
                continue
            if name == "max_tokens":
                body[self._dialect.max_tokens] = value
            elif name == "stop":
                body["stop"] = list(value)
            elif name == "reasoning_effort":
                body["reasoning_effort"] = EFFORTS.get(value, "medium")
            else:
                body[name] = value

    def _tool(self, tool: ToolSpec, names: ToolNames) -> bytes:
        wire = names.wire(tool.name)
        key = wire.encode() + b"\0" + tool.SerializeToString(deterministic=True)
        known = self._tools.get(key)
        if known is None:
            schema = to_json(tool.input_schema) if tool.input_schema.fields else NO_ARGUMENTS
            function = {
                "name": wire,
                "description": tool.description,
                "parameters": orjson.Fragment(schema),
            }
            known = orjson.dumps({"type": "function", "function": function})
            if len(self._tools) >= KNOWN_SCHEMAS:
                self._tools.clear()
            self._tools[key] = known
        return known

    def _choice(self, choice: ToolChoice, names: ToolNames, body: Wire) -> None:
        wire = _CHOICES.get(choice.mode)
        if choice.mode == ToolChoice.MODE_NAMED:
            wire = {"type": "function", "function": {"name": names.wire(choice.name)}}
        if wire is not None and "tool_choice" in self._honoured:
            body["tool_choice"] = wire
        if choice.disable_parallel and "tool_choice.disable_parallel" in self._honoured:
            body["parallel_tool_calls"] = False

    def _format(self, wanted: ResponseFormat, body: Wire) -> None:
        kind = wanted.WhichOneof("format") or ""
        if kind in _FORMATS and f"response_format.{kind}" in self._honoured:
            body["response_format"] = _FORMATS[kind](wanted)


_CHOICES: Final[Mapping[int, Any]] = {ToolChoice.MODE_NONE: "none", ToolChoice.MODE_REQUIRED: "required"}


def _schema(wanted: ResponseFormat) -> Wire:
    given = wanted.json_schema
    # Strict, since the contract promises JSON that matches and not JSON that may.
    schema = orjson.Fragment(to_json(given.schema))
    named = {"name": wire_name(given.name or "reply"), "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": named}


_FORMATS: Final[Mapping[str, Callable[[ResponseFormat], Wire]]] = {
    "json": lambda _: {"type": "json_object"},
    "json_schema": _schema,
}


def _options(request: GenerateRequest) -> Iterator[tuple[str, Any]]:
    for name, value in to_plain(request.provider_options).items():
        if name in RESERVED:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway.")
        yield name, value
