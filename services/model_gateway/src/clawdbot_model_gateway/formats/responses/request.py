"""Encodes a GenerateRequest as the body of POST /responses.

Source: OpenAI's API reference, "Create a model response", and the types of its Python client 3.57.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    ResponseFormat,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import to_plain

from clawdbot_model_gateway.core.supported_fields import (
    NOT_SUPPORTED,
    enforce_strict,
    not_supported,
    reasoning_left_out,
    split_options,
    unsupported_defaults,
    warnings_for,
)
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.efforts import NO_EFFORT, effort_of, least_effort_warnings
from clawdbot_model_gateway.formats.json_output import (
    ASK_FOR_JSON,
    encode_json_schema,
    mentions_json,
    native_formats,
)
from clawdbot_model_gateway.formats.responses.messages import MessageEncoder
from clawdbot_model_gateway.formats.tool_schema import flat_schema

JsonObject = dict[str, Any]

SAMPLING: Final = {"max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"}
"""Our field → the API's. It has no stop, seed, top_k and penalties."""
MIN_OUTPUT_TOKENS: Final = 16
"""The API refuses a smaller limit."""
REFUSED_WHEN_REASONING: Final = frozenset({"sampling.temperature", "sampling.top_p"})
"""What a reasoning model refuses, unless the request turns reasoning off."""
SUPPORTED_FIELDS: Final = frozenset(
    {
        *(f"sampling.{name}" for name in SAMPLING),
        "sampling.reasoning_effort",
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
OPTION_PATHS: Final = {
    **{wire: f"sampling.{name}" for name, wire in SAMPLING.items()},
    "reasoning": "sampling.reasoning_effort",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "tool_choice.disable_parallel",
}
"""The API's name → the path of our field."""
RESERVED_OPTIONS: Final = frozenset({"input", "instructions", "model", "stream", "background"})
"""Fields that provider_options may not set: they are the request, or decide what the response looks like."""
COUNT_FIELDS: Final = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning"),
        *("parallel_tool_calls", "truncation"),
    }
)
"""Fields that POST /responses/input_tokens takes."""
NON_REASONING_MODELS: Final = re.compile(r"(ft:)?(gpt-3|gpt-4|chatgpt-|gpt-[\w.]+-chat)")
"""Prefixes of the names of models that do not reason. They refuse `reasoning`; all newer models take it."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What one backend's models can do."""

    reasons: bool | None = None
    """Whether they reason; None: decided by each model's name."""
    unsupported: AbstractSet[str] = frozenset()
    """Paths of fields that they refuse."""
    strict_schemas: bool = False
    """Whether a JSON Schema must be one of strict mode; others are emulated."""


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """What the configuration adds where a request says nothing."""

    reasoning_summary: str | None = None
    """How much of the reasoning to ask for."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Our field names → values."""


@dataclass(slots=True)
class EncodedRequest:
    """A request as it is sent."""

    body: JsonObject
    names: ToolNames
    warnings: list[Warning]

    def create_body(self, *, stream: bool) -> bytes:
        """The body of POST /responses."""
        # Sorted, since a Struct keeps no order and the vendor's prompt cache compares bytes.
        return orjson.dumps({**self.body, "stream": stream}, option=orjson.OPT_SORT_KEYS)

    def count_body(self) -> bytes:
        """The body of POST /responses/input_tokens."""
        body = {name: value for name, value in self.body.items() if name in COUNT_FIELDS}
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


class RequestEncoder:
    """Encodes the requests of one backend."""

    def __init__(self, provider: str, profile: ModelProfile, defaults: RequestDefaults) -> None:
        """Args: provider: the name that warnings show."""
        self._provider = provider
        self._profile = profile
        self._defaults = defaults

    def native_formats(self, request: GenerateRequest) -> frozenset[str]:
        """The response formats that need no emulation."""
        supported = SUPPORTED_FIELDS - self._profile.unsupported
        return native_formats(request, supported, strict_schemas=self._profile.strict_schemas)

    def encode(self, request: GenerateRequest, model: str) -> EncodedRequest:
        """The body.

        Raises:
            InvalidRequest: the request is strict and contains what the API has no field for, or its
                provider_options set a reserved field.
        """
        names = ToolNames(tool.name for tool in request.tools)
        messages = MessageEncoder(names)
        # The vendor stores nothing: we keep the conversation, reasoning included.
        body: JsonObject = {"model": model, "store": False, **messages.encode(request)}
        reasons = self._reasons(model)
        if reasons:
            body["include"] = ["reasoning.encrypted_content"]
        effort = effort_of(request, model, some_always_reason=reasons)
        supported = SUPPORTED_FIELDS - self._profile.unsupported - _refused(effort, reasons=reasons)
        self._add_reasoning(effort, supported, body, reasons=reasons)
        self._add_sampling(request, supported, body)
        if request.tools:
            body["tools"] = [_tool(tool, names) for tool in request.tools]
            _add_tool_choice(request.tool_choice, names, supported, body)
        kind = request.response_format.WhichOneof("format") or ""
        if kind in _FORMAT_ENCODERS and f"response_format.{kind}" in supported:
            body["text"] = {"format": _FORMAT_ENCODERS[kind](request.response_format)}
            if kind == "json" and not mentions_json(body["input"]):
                body["input"].insert(0, {"role": "developer", "content": ASK_FOR_JSON})
        unsupported = messages.unsupported
        if request.HasField("provider_options"):
            options, refused = split_options(to_plain(request.provider_options), OPTION_PATHS, supported)
            _add_provider_options(options, body)
            unsupported = unsupported + refused
        warnings = warnings_for(request, supported, self._provider)
        warnings += least_effort_warnings(request, effort, model, self._provider)
        limit = body.get("max_output_tokens")
        if isinstance(limit, int | float) and limit < MIN_OUTPUT_TOKENS:
            body["max_output_tokens"] = MIN_OUTPUT_TOKENS
            warnings += enforce_strict(request, [_too_few_tokens(self._provider)])
        if unsupported:
            warnings += enforce_strict(request, [not_supported(path, self._provider) for path in unsupported])
        warnings += unsupported_defaults(self._defaults.sampling, request, supported, self._provider)
        warnings += reasoning_left_out(messages.left_out, self._provider)
        warnings += messages.repairs.warnings()
        return EncodedRequest(body, names, warnings)

    def _reasons(self, model: str) -> bool:
        configured = self._profile.reasons
        return not NON_REASONING_MODELS.match(model) if configured is None else configured

    def _add_reasoning(
        self, effort: str | None, supported: AbstractSet[str], body: JsonObject, *, reasons: bool
    ) -> None:
        if not reasons:
            return
        effort = effort if "sampling.reasoning_effort" in supported else None
        fields = {"effort": effort, "summary": self._defaults.reasoning_summary}
        reasoning = {name: value for name, value in fields.items() if value}
        if reasoning:
            body["reasoning"] = reasoning

    def _add_sampling(self, request: GenerateRequest, supported: AbstractSet[str], body: JsonObject) -> None:
        requested = {descriptor.name: value for descriptor, value in request.sampling.ListFields()}
        for name, wire in SAMPLING.items():
            value = requested.get(name, self._defaults.sampling.get(name))
            if value is not None and f"sampling.{name}" in supported:
                body[wire] = value


def _refused(effort: str | None, *, reasons: bool) -> AbstractSet[str]:
    if effort == NO_EFFORT:
        # The default of a model that does not reason. With it, a model that does reason takes all sampling.
        return frozenset()
    return REFUSED_WHEN_REASONING if reasons else frozenset({"sampling.reasoning_effort"})


def _too_few_tokens(provider: str) -> Warning:
    message = f"{provider} takes no limit below {MIN_OUTPUT_TOKENS} tokens, so that this is the limit."
    return Warning(code=NOT_SUPPORTED, field="sampling.max_tokens", message=message)


def _tool(tool: ToolSpec, names: ToolNames) -> JsonObject:
    return {
        "type": "function",
        "name": names.to_wire(tool.name),
        "description": tool.description,
        "parameters": flat_schema(tool),
        # The API's default is true, which refuses every schema with an optional argument.
        "strict": False,
    }


def _add_tool_choice(
    choice: ToolChoice, names: ToolNames, supported: AbstractSet[str], body: JsonObject
) -> None:
    wire = _TOOL_CHOICES.get(choice.mode)
    if choice.mode == ToolChoice.MODE_NAMED:
        wire = {"type": "function", "name": names.to_wire(choice.name)}
    if wire is not None and "tool_choice" in supported:
        body["tool_choice"] = wire
    if choice.disable_parallel and "tool_choice.disable_parallel" in supported:
        body["parallel_tool_calls"] = False


_TOOL_CHOICES: Final[Mapping[int, Any]] = {ToolChoice.MODE_NONE: "none", ToolChoice.MODE_REQUIRED: "required"}


_FORMAT_ENCODERS: Final[Mapping[str, Callable[[ResponseFormat], JsonObject]]] = {
    "json": lambda _: {"type": "json_object"},
    "json_schema": lambda asked: {"type": "json_schema", **encode_json_schema(asked.json_schema)},
}


def _add_provider_options(options: Mapping[str, Any], body: JsonObject) -> None:
    """Appends lists (`tools`, `include`) to ours and merges objects (`text`, `reasoning`) with ours."""
    for name, value in options.items():
        if name in RESERVED_OPTIONS:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway; remove it.")
        ours = body.get(name)
        if isinstance(ours, list) and isinstance(value, list):
            body[name] = ours + [each for each in value if each not in ours]
        elif isinstance(ours, dict) and isinstance(value, dict):
            body[name] = {**ours, **value}
        else:
            body[name] = value
