"""A GenerateRequest as the body of POST /api/chat.

Source: Ollama's docs/api.md and the request types and handlers of its server, 0.17.
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
    REASONING_EFFORT_UNSPECIFIED,
    GenerateRequest,
    ResponseFormat,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import to_json, to_plain

from clawdbot_model_gateway.core.supported_fields import not_supported, told, warnings_for
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.ollama.messages import MessageWriter
from clawdbot_model_gateway.formats.ollama.models import ModelFacts

Wire = dict[str, Any]

OPTIONS: Final[Mapping[str, str]] = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""Our name of a sampling field → Ollama's, in `options`."""

HONOURED: Final = frozenset(
    {
        *(f"sampling.{each}" for each in OPTIONS),
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
"""What the wire has a field for. Which tool is called is the model's affair: there is no tool_choice."""

RESERVED: Final = frozenset({"messages", "model", "stream"})
"""Fields that provider_options may not set: they say what the reply looks like."""

WORDS: Final = {
    REASONING_EFFORT_LOW: "low",
    REASONING_EFFORT_MEDIUM: "medium",
    REASONING_EFFORT_HIGH: "high",
}
NO_ARGUMENTS: Final = b'{"type":"object","properties":{}}'


@dataclass(frozen=True, slots=True)
class Usual:
    """What a backend's configuration says for every request."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the model, under Ollama's names; a request beats them."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the body."""


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

    def write(self, request: GenerateRequest, model: str, facts: ModelFacts) -> Encoded:
        """The body, for a stream.

        Args:
            request: what to answer.
            model: the vendor's name of the model.
            facts: what the model can do; looked at where the request asks for thought.

        Raises:
            InvalidRequest: the request is strict and holds what the wire cannot carry, or its
                provider_options do not fit.
        """
        names = ToolNames(tool.name for tool in request.tools)
        writer = MessageWriter(names, request.messages)
        body: Wire = {"model": model, "stream": True, **self._usual.body}
        body["messages"] = [
            each for place, message in enumerate(request.messages) for each in writer.write(place, message)
        ]
        body["messages"] += writer.rest()
        options = {**self._usual.options, **dict(_options(request))}
        honoured = set(HONOURED)
        if request.tools:
            honoured |= self._tools(request, names, body)
        kind = request.response_format.WhichOneof("format") or ""
        if kind in _FORMATS:
            body["format"] = _FORMATS[kind](request.response_format)
        honoured |= _thought(request, facts, body)
        if request.HasField("provider_options"):
            _own(request, body, options)
        if options:
            body["options"] = options
        warnings = warnings_for(request, honoured, self._provider)
        if writer.unsupported:
            warnings += told(request, [not_supported(each, self._provider) for each in writer.unsupported])
        return Encoded(orjson.dumps(body), names, warnings)

    def _tools(self, request: GenerateRequest, names: ToolNames, body: Wire) -> AbstractSet[str]:
        if request.tool_choice.mode == ToolChoice.MODE_NONE:
            # Who is offered nothing calls nothing.
            return {"tool_choice"}
        body["tools"] = [_tool(tool, names) for tool in request.tools]
        return frozenset()


def _options(request: GenerateRequest) -> Iterator[tuple[str, Any]]:
    for descriptor, value in request.sampling.ListFields():
        name = OPTIONS.get(descriptor.name)
        if name is not None:
            yield name, list(value) if name == "stop" else value


def _tool(tool: ToolSpec, names: ToolNames) -> Wire:
    schema = to_json(tool.input_schema) if tool.input_schema.fields else NO_ARGUMENTS
    function = {
        "name": names.wire(tool.name),
        "description": tool.description,
        "parameters": orjson.Fragment(schema),
    }
    return {"type": "function", "function": function}


_FORMATS: Final[Mapping[str, Callable[[ResponseFormat], Any]]] = {
    "json": lambda _: "json",
    "json_schema": lambda wanted: orjson.Fragment(to_json(wanted.json_schema.schema)),
}


def _thought(request: GenerateRequest, facts: ModelFacts, body: Wire) -> AbstractSet[str]:
    """Sets how much to think. Most models know only whether; one that does not think refuses to be asked."""
    effort = request.sampling.reasoning_effort
    if effort == REASONING_EFFORT_UNSPECIFIED:
        return frozenset()
    if effort == REASONING_EFFORT_NONE:
        body["think"] = False
    elif facts.thinks:
        body["think"] = WORDS.get(effort, "medium") if facts.thinks_by_degrees else True
    else:
        return frozenset()
    return {"sampling.reasoning_effort"}


def _own(request: GenerateRequest, body: Wire, options: Wire) -> None:
    """Adds what only Ollama has: fields of the body, and in `options` those of the model."""
    for name, value in to_plain(request.provider_options).items():
        if name in RESERVED:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway.")
        if name != "options":
            body[name] = value
        elif isinstance(value, dict):
            options.update(value)
        else:
            raise InvalidRequest.of("provider_options.options", "Must be an object.")
