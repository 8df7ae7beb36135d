"""Encodes a GenerateRequest as the body of POST /api/chat.

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
    REASONING_EFFORT_NONE,
    REASONING_EFFORT_UNSPECIFIED,
    GenerateRequest,
    ResponseFormat,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import to_json, to_plain

from clawdbot_model_gateway.core.supported_fields import (
    enforce_strict,
    not_supported,
    reasoning_left_out,
    warnings_for,
)
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.conversation import EMPTY_MESSAGE, Repairs, prepare, with_question
from clawdbot_model_gateway.formats.efforts import DEGREES
from clawdbot_model_gateway.formats.ollama.messages import MessageEncoder
from clawdbot_model_gateway.formats.ollama.models import ModelProfile
from clawdbot_model_gateway.formats.tool_schema import input_schema_json

JsonObject = dict[str, Any]

SAMPLING: Final[Mapping[str, str]] = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""Our field → Ollama's, in `options`."""

SUPPORTED_FIELDS: Final = frozenset(
    {
        *(f"sampling.{name}" for name in SAMPLING),
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
"""What the API has a field for. There is no tool_choice: the model decides which tool it calls."""

RESERVED_OPTIONS: Final = frozenset({"messages", "model", "stream"})
"""Fields that provider_options may not set: they decide what the response looks like."""


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """What the configuration adds to every request."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the model, under Ollama's names; a request overrides them."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the body."""


@dataclass(slots=True)
class EncodedRequest:
    """A request as it is sent."""

    body: bytes
    names: ToolNames
    warnings: list[Warning]


class RequestEncoder:
    """Encodes the requests of one backend."""

    def __init__(self, provider: str, defaults: RequestDefaults) -> None:
        """Args: provider: the name that warnings show."""
        self._provider = provider
        self._defaults = defaults

    def encode(self, request: GenerateRequest, model: str, profile: ModelProfile) -> EncodedRequest:
        """The body of a streaming request.

        Args:
            request: what to answer.
            model: the vendor's name of the model.
            profile: what the model can do; used if the request sets reasoning_effort.

        Raises:
            InvalidRequest: the request is strict and contains what the API has no field for, or its
                provider_options are not valid.
        """
        names = ToolNames(tool.name for tool in request.tools)
        body: JsonObject = {"model": model, "stream": True, **self._defaults.body}
        repairs = Repairs()
        prepared = with_question(prepare(request.messages, repairs))
        messages = MessageEncoder(names, (message for _, message in prepared))
        body["messages"] = [each for index, message in prepared for each in messages.encode(index, message)]
        body["messages"] += messages.flush()
        # Without any, the server only loads the model.
        body["messages"] = body["messages"] or [{"role": "user", "content": EMPTY_MESSAGE}]
        options = {**self._defaults.options, **dict(_sampling_options(request))}
        supported = set(SUPPORTED_FIELDS)
        if request.tools:
            supported |= self._add_tools(request, names, body)
        kind = request.response_format.WhichOneof("format") or ""
        if kind in _FORMAT_ENCODERS:
            body["format"] = _FORMAT_ENCODERS[kind](request.response_format)
        supported |= _add_thinking(request, profile, body)
        if request.HasField("provider_options"):
            _add_provider_options(request, body, options)
        if options:
            body["options"] = options
        warnings = warnings_for(request, supported, self._provider)
        if messages.unsupported:
            warnings += enforce_strict(
                request, [not_supported(path, self._provider) for path in messages.unsupported]
            )
        warnings += reasoning_left_out(messages.left_out, self._provider)
        warnings += repairs.warnings()
        return EncodedRequest(orjson.dumps(body), names, warnings)

    def _add_tools(self, request: GenerateRequest, names: ToolNames, body: JsonObject) -> AbstractSet[str]:
        if request.tool_choice.mode == ToolChoice.MODE_NONE:
            # Without tools in the request the model can call none.
            return {"tool_choice"}
        body["tools"] = [_tool(tool, names) for tool in request.tools]
        return frozenset()


def _sampling_options(request: GenerateRequest) -> Iterator[tuple[str, Any]]:
    for descriptor, value in request.sampling.ListFields():
        name = SAMPLING.get(descriptor.name)
        if name is not None:
            yield name, list(value) if name == "stop" else value


def _tool(tool: ToolSpec, names: ToolNames) -> JsonObject:
    function = {
        "name": names.to_wire(tool.name),
        "description": tool.description,
        "parameters": orjson.Fragment(input_schema_json(tool)),
    }
    return {"type": "function", "function": function}


_FORMAT_ENCODERS: Final[Mapping[str, Callable[[ResponseFormat], Any]]] = {
    "json": lambda _: "json",
    "json_schema": lambda response_format: orjson.Fragment(to_json(response_format.json_schema.schema)),
}


def _add_thinking(request: GenerateRequest, profile: ModelProfile, body: JsonObject) -> AbstractSet[str]:
    """Sets `think`. Most models take only on or off; one that cannot think refuses the field."""
    effort = request.sampling.reasoning_effort
    if effort == REASONING_EFFORT_UNSPECIFIED:
        return frozenset()
    if effort == REASONING_EFFORT_NONE:
        body["think"] = False
    elif profile.thinks:
        body["think"] = DEGREES.get(effort, "medium") if profile.takes_effort else True
    else:
        return frozenset()
    return {"sampling.reasoning_effort"}


def _add_provider_options(request: GenerateRequest, body: JsonObject, options: JsonObject) -> None:
    """Adds fields that only Ollama has: to the body, and from `options` to the model's options."""
    for name, value in to_plain(request.provider_options).items():
        if name in RESERVED_OPTIONS:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway; remove it.")
        if name == "tools" and isinstance(value, list):
            body[name] = [*body.get(name, ()), *value]
        elif name != "options":
            body[name] = value
        elif isinstance(value, dict):
            options.update(value)
        else:
            raise InvalidRequest.of("provider_options.options", "Must be an object.")
