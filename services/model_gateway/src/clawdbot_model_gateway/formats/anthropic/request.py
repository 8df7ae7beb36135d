"""Encodes a GenerateRequest as the body of POST /v1/messages and of POST /v1/messages/count_tokens.

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
from clawdbot_model_gateway.formats.anthropic.messages import MessageEncoder
from clawdbot_model_gateway.formats.anthropic.models import ModelProfile
from clawdbot_model_gateway.formats.anthropic.schema import adapt_schema, is_enforced
from clawdbot_model_gateway.formats.anthropic.thinking import encode_thinking, take_refused, thinks
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.conversation import CONTINUE
from clawdbot_model_gateway.formats.tool_schema import input_schema_json

JsonObject = dict[str, Any]

SAMPLING: Final = {
    "max_tokens": "max_tokens",
    "stop": "stop_sequences",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
}
"""Our field → the API's."""
OPTION_PATHS: Final = {wire: f"sampling.{name}" for name, wire in SAMPLING.items()}
"""The API's name → the path of our field."""
SUPPORTED_FIELDS: Final = frozenset(
    {
        *(f"sampling.{name}" for name in SAMPLING),
        "sampling.reasoning_effort",
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json_schema",
        "provider_options",
    }
)
"""What the API has a field for. Not response_format.json: the gateway asks for it in the prompt."""

DEFAULT_MAX_TOKENS: Final = 16_384
"""Sent if neither the request nor the configuration sets max_tokens, which the API requires. Thinking counts
towards it. Every current model allows more."""

RESERVED_OPTIONS: Final = frozenset({"max_tokens", "messages", "model", "stream", "system"})
"""Fields that provider_options may not set: the request has its own fields for them."""
COUNT_FIELDS: Final = frozenset(
    {"messages", "model", "output_config", "system", "thinking", "tool_choice", "tools", "cache_control"}
)
"""Fields of a body that count_tokens takes."""
_TOOL_CHOICES: Final = {
    ToolChoice.MODE_AUTO: "auto",
    ToolChoice.MODE_NONE: "none",
    ToolChoice.MODE_REQUIRED: "any",
    ToolChoice.MODE_NAMED: "tool",
}


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """What the configuration adds where a request says nothing."""

    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Our field names → values."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of every body."""


@dataclass(slots=True)
class EncodedRequest:
    """A request as it is sent."""

    body: bytes
    names: ToolNames
    warnings: list[Warning]


class RequestEncoder:
    """Encodes the requests of one backend."""

    def __init__(
        self, provider: str, defaults: RequestDefaults, unsupported: AbstractSet[str] = frozenset()
    ) -> None:
        """Creates an encoder.

        Args:
            provider: the name that warnings show.
            defaults: what the configuration adds.
            unsupported: paths of fields that this version of the API refuses.
        """
        self._provider = provider
        self._defaults = defaults
        self._supported = SUPPORTED_FIELDS - unsupported

    def native_formats(self, request: GenerateRequest, profile: ModelProfile) -> frozenset[str]:
        """The response formats that need no emulation. No "tool": a model that thinks cannot be forced."""
        asked = request.response_format
        enforced = not asked.HasField("json_schema") or is_enforced(to_plain(asked.json_schema.schema))
        return frozenset({"json_schema"} if profile.enforces_schemas and enforced else ())

    def encode(self, request: GenerateRequest, model: str, profile: ModelProfile) -> EncodedRequest:
        """The body of a streaming request.

        Raises:
            InvalidRequest: the request is strict and contains what the API has no field for, or its
                provider_options set a reserved field.
        """
        body, names, warnings = self._encode(request, model, profile)
        body["stream"] = True
        return EncodedRequest(orjson.dumps(body), names, warnings)

    def encode_count(self, request: GenerateRequest, model: str, profile: ModelProfile) -> bytes:
        """The body that asks how many tokens the same request has.

        Raises:
            InvalidRequest: as for encode.
        """
        body, _, _ = self._encode(request, model, profile)
        return orjson.dumps({name: value for name, value in body.items() if name in COUNT_FIELDS})

    def _encode(
        self, request: GenerateRequest, model: str, profile: ModelProfile
    ) -> tuple[JsonObject, ToolNames, list[Warning]]:
        names = ToolNames(tool.name for tool in request.tools)
        messages = MessageEncoder(names)
        warnings = warnings_for(request, self._supported, self._provider)
        body: JsonObject = {
            "model": model,
            **self._defaults.body,
            "messages": messages.encode(request.messages),
        }
        body.update(self._sampling(request, profile))
        if request.tools:
            body["tools"] = [_tool(tool, names) for tool in request.tools]
            choice = _tool_choice(request.tool_choice, names)
            if choice is not None:
                body["tool_choice"] = choice
        format_warnings = self._add_response_format(request, body)
        unsupported = [
            *messages.unsupported,
            *_blank_stops(request),
            *encode_thinking(request, profile, body, thought_first=messages.thought_before_calls),
        ]
        if messages.system:
            body["system"] = messages.system
        if request.HasField("provider_options"):
            options, refused = split_options(
                to_plain(request.provider_options), OPTION_PATHS, self._supported
            )
            _add_provider_options(options, body)
            unsupported += refused
        refused = take_refused(body)
        unsupported += _paths(refused, request)
        _end_with_the_user(body, profile)
        left_out = [not_supported(path, self._provider) for path in unsupported]
        warnings += enforce_strict(request, left_out + format_warnings)
        supported = self._supported - {OPTION_PATHS[name] for name in refused}
        warnings += unsupported_defaults(self._defaults.sampling, request, supported, self._provider)
        warnings += reasoning_left_out(messages.left_out, self._provider)
        warnings += messages.repairs.warnings()
        return body, names, warnings

    def _sampling(self, request: GenerateRequest, profile: ModelProfile) -> JsonObject:
        sampling = dict(self._defaults.sampling)
        for descriptor, value in request.sampling.ListFields():
            sampling[descriptor.name] = value
        # The API refuses blank ones.
        sampling["stop"] = [each for each in sampling.get("stop", ()) if not each.isspace()]
        # The API refuses more than the model can output.
        max_tokens = sampling.get("max_tokens", DEFAULT_MAX_TOKENS)
        sampling["max_tokens"] = min(max_tokens, profile.max_tokens or max_tokens)
        return {
            wire: sampling[name]
            for name, wire in SAMPLING.items()
            if sampling.get(name) not in (None, []) and f"sampling.{name}" in self._supported
        }

    def _add_response_format(self, request: GenerateRequest, body: JsonObject) -> list[Warning]:
        response_format = request.response_format
        if response_format.WhichOneof("format") != "json_schema":
            return []
        schema, unenforced = adapt_schema(to_plain(response_format.json_schema.schema))
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if not unenforced:
            return []
        message = (
            f"{self._provider} shows these to the model but does not enforce them: {', '.join(unenforced)}."
        )
        return [Warning(code=NOT_SUPPORTED, field="response_format.json_schema.schema", message=message)]


def _tool(tool: ToolSpec, names: ToolNames) -> JsonObject:
    description = {"description": tool.description} if tool.description else {}
    return {
        "name": names.to_wire(tool.name),
        **description,
        "input_schema": orjson.Fragment(input_schema_json(tool)),
    }


def _blank_stops(request: GenerateRequest) -> list[str]:
    """Paths of stop sequences that the API refuses."""
    stops = enumerate(request.sampling.stop)
    return [f"sampling.stop[{index}]" for index, stop in stops if stop.isspace()]


def _paths(refused: list[str], request: GenerateRequest) -> Iterator[str]:
    """Paths of what the request itself sets of these fields."""
    for name in refused:
        if name in request.provider_options.fields:
            yield f"provider_options.{name}"
        elif request.sampling.HasField(name):  # type: ignore[arg-type]
            yield OPTION_PATHS[name]


def _end_with_the_user(body: JsonObject, profile: ModelProfile) -> None:
    """Current models, and all that think, refuse a conversation that ends with the assistant."""
    if body["messages"][-1]["role"] == "assistant" and (profile.adaptive_thinking or thinks(body)):
        body["messages"].append({"role": "user", "content": [{"type": "text", "text": CONTINUE}]})


def _tool_choice(choice: ToolChoice, names: ToolNames) -> JsonObject | None:
    kind = _TOOL_CHOICES.get(choice.mode, "auto" if choice.disable_parallel else None)
    if kind is None:
        return None
    wire: JsonObject = {"type": kind}
    if kind == "tool":
        wire["name"] = names.to_wire(choice.name)
    if choice.disable_parallel and kind != "none":
        wire["disable_parallel_tool_use"] = True
    return wire


def _add_provider_options(options: JsonObject, body: JsonObject) -> None:
    """Adds the vendor's own fields. Its tools are appended to ours; its output_config is merged into ours."""
    for name, value in options.items():
        if name in RESERVED_OPTIONS:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway; remove it.")
        if name == "tools" and isinstance(value, list):
            body["tools"] = [*body.get("tools", ()), *value]
        elif name == "output_config" and isinstance(value, dict):
            body[name] = {**body.get(name, {}), **value}
        else:
            body[name] = value
