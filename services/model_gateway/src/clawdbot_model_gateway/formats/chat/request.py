"""Encodes a GenerateRequest as the body of POST /chat/completions.

Source: OpenAI's API reference, "Create chat completion", and where they differ vLLM's and llama.cpp's
    servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_NONE,
    GenerateRequest,
    ResponseFormat,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import to_plain

from clawdbot_model_gateway.core.supported_fields import (
    enforce_strict,
    not_supported,
    reasoning_left_out,
    replaced_by_options,
    split_options,
    unsupported_defaults,
    warnings_for,
)
from clawdbot_model_gateway.formats.chat.messages import MessageEncoder, in_order
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.conversation import (
    EMPTY_MESSAGE,
    Repairs,
    prepare,
    with_first_words,
    with_question,
)
from clawdbot_model_gateway.formats.efforts import NO_EFFORT, effort_of, least_effort_warnings
from clawdbot_model_gateway.formats.gemini.models import profile_of
from clawdbot_model_gateway.formats.gemini.thought_signatures import SKIP_VALIDATION
from clawdbot_model_gateway.formats.json_output import (
    ASK_FOR_JSON,
    encode_json_schema,
    mentions_json,
    native_formats,
)
from clawdbot_model_gateway.formats.tool_schema import flat_schema_json, input_schema_json
from clawdbot_model_gateway.formats.vendor_json import as_object
from clawdbot_model_gateway.formats.vendor_profile import VendorProfile

JsonObject = dict[str, Any]

SAMPLING: Final = (
    *("max_tokens", "temperature", "top_p", "top_k", "stop", "seed"),
    *("presence_penalty", "frequency_penalty", "reasoning_effort"),
)
"""Our fields that the API has a field for."""
SUPPORTED_FIELDS: Final = frozenset(
    {
        *(f"sampling.{name}" for name in SAMPLING),
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
"""What the API has a field for. Not logprobs: our reply has no field for them."""

OPTION_PATHS: Final = {
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "sampling.max_tokens"),
    **dict.fromkeys(("logprobs", "top_logprobs"), "sampling.logprobs"),
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "tool_choice.disable_parallel",
}
"""The API's name → the path of our field, besides those of sampling that have the same name."""
FORMAT_TYPES: Final = {"json_object": "response_format.json", "json_schema": "response_format.json_schema"}
"""The type of the option `response_format` → the path of our field."""
RESERVED_OPTIONS: Final = frozenset({"messages", "model", "n", "stream", "stream_options"})
"""Fields that provider_options may not set: they decide what the response looks like."""

FORCED: Final = frozenset({ToolChoice.MODE_REQUIRED, ToolChoice.MODE_NAMED})
"""Modes in which the model has to call a tool."""
MAX_CACHED_TOOLS: Final = 512
"""Tools whose JSON is cached: the same ones come with every turn."""


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """What the configuration adds where a request says nothing."""

    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Our field names → values."""


@dataclass(slots=True)
class EncodedRequest:
    """A request as it is sent."""

    body: bytes
    names: ToolNames
    warnings: list[Warning]


class RequestEncoder:
    """Encodes the requests of one backend."""

    def __init__(self, provider: str, profile: VendorProfile, defaults: RequestDefaults) -> None:
        """Args: provider: the name that warnings show."""
        self._provider = provider
        self._profile = profile
        self._defaults = defaults
        self._supported = SUPPORTED_FIELDS - profile.unsupported
        self._reasoning_models = re.compile(profile.reasoning_models or r"(?!)")
        self._option_paths = {**{name: f"sampling.{name}" for name in SAMPLING}, **OPTION_PATHS}
        self._tools: dict[bytes, bytes] = {}

    def native_formats(self, request: GenerateRequest) -> frozenset[str]:
        """The response formats that need no emulation."""
        return native_formats(request, self._supported, strict_schemas=self._profile.strict_schemas)

    def encode(self, request: GenerateRequest, model: str, *, stream: bool) -> EncodedRequest:
        """The body.

        Raises:
            InvalidRequest: the request is strict and contains what the API has no field for, or its
                provider_options set a reserved field.
        """
        names = ToolNames(tool.name for tool in request.tools)
        unsigned = SKIP_VALIDATION if self._profile.thought_signatures and profile_of(model).gemini_3 else ""
        messages = MessageEncoder(names, self._profile, unsigned, has_tools=bool(request.tools))
        reasons = bool(self._reasoning_models.search(model))
        effort = effort_of(request, model, some_always_reason=reasons and self._profile.some_always_reason)
        supported = self._supported_by(effort, reasons=reasons)
        thinking_off = self._thinking_off(request) if reasons else {}
        body: JsonObject = {"model": model, **self._default_fields(supported), **thinking_off}
        repairs, refused, replaced = Repairs(), list[str](), list[str]()
        prepared = with_question(prepare(request.messages, repairs))
        if self._profile.user_first:
            prepared = with_first_words(prepared)
        body["messages"] = [each for index, message in prepared for each in messages.encode(index, message)]
        body["messages"] = in_order([*body["messages"], *messages.flush()], self._profile)
        body["messages"] = body["messages"] or [{"role": "user", "content": EMPTY_MESSAGE}]
        if self._profile.marks_prefix and body["messages"][-1]["role"] == "assistant":
            body["messages"][-1]["prefix"] = True
        if request.HasField("sampling"):
            refused += self._add_sampling(request, supported, body, None if thinking_off else effort)
        obeyed = self._add_tools(request, names, body) if request.tools else frozenset()
        if request.HasField("response_format"):
            self._add_response_format(request.response_format, body)
        if request.HasField("provider_options"):
            refused_options, replaced = self._add_options(request, supported, body)
            refused += refused_options
        if stream:
            body["stream"] = True
            if self._profile.stream_usage:
                body["stream_options"] = {"include_usage": True}
        warnings = warnings_for(request, supported | obeyed, self._provider)
        warnings += least_effort_warnings(request, effort, model, self._provider)
        refused += messages.unsupported
        if refused:
            warnings += enforce_strict(request, [not_supported(path, self._provider) for path in refused])
        warnings += enforce_strict(request, [replaced_by_options(path) for path in replaced])
        warnings += unsupported_defaults(self._defaults.sampling, request, supported, self._provider)
        warnings += reasoning_left_out(messages.left_out, self._provider)
        warnings += repairs.warnings()
        return EncodedRequest(orjson.dumps(body), names, warnings)

    def _wire_name(self, name: str) -> str:
        return self._profile.max_tokens_field if name == "max_tokens" else name

    def _supported_by(self, effort: str | None, *, reasons: bool) -> AbstractSet[str]:
        """What a model has a field for when it is asked for this effort."""
        if not reasons:
            refused = frozenset() if self._profile.effort_for_others else {"sampling.reasoning_effort"}
            return self._supported - refused
        if effort == NO_EFFORT:
            return self._supported
        return self._supported - self._profile.refused_when_reasoning

    def _thinking_off(self, request: GenerateRequest) -> Mapping[str, Any]:
        """What turns a model's thinking off, if the request asks for that, or forces a call."""
        forced = request.tools and request.tool_choice.mode in FORCED and "tool_choice" in self._supported
        unwanted = forced or request.sampling.reasoning_effort == REASONING_EFFORT_NONE
        return self._profile.thinking_off if unwanted else {}

    def _default_fields(self, supported: AbstractSet[str]) -> JsonObject:
        return {
            self._wire_name(name): value
            for name, value in self._defaults.sampling.items()
            if f"sampling.{name}" in supported
        }

    def _add_sampling(
        self, request: GenerateRequest, supported: AbstractSet[str], body: JsonObject, effort: str | None
    ) -> list[str]:
        """Returns the paths of values that the vendor does not take.

        Args:
            request: the request.
            supported: what the model has a field for.
            body: where they are set.
            effort: to ask for; None where thinking is turned off, which has no degree.
        """
        refused = []
        for descriptor, value in request.sampling.ListFields():
            name = descriptor.name
            if f"sampling.{name}" not in supported:
                continue
            if name == "stop":
                limit = self._profile.max_stops
                body["stop"] = list(value)[:limit]
                refused += [f"sampling.stop[{index}]" for index in range(len(body["stop"]), len(value))]
            elif name == "reasoning_effort" and effort is not None:
                body["reasoning_effort"] = effort
            elif name == "reasoning_effort":
                refused += [] if value == REASONING_EFFORT_NONE else ["sampling.reasoning_effort"]
            else:
                body[self._wire_name(name)] = value
        return refused

    def _add_options(
        self, request: GenerateRequest, supported: AbstractSet[str], body: JsonObject
    ) -> tuple[list[str], list[str]]:
        """Returns the paths of options that the vendor does not take, and of fields that others replace."""
        form = as_object(to_plain(request.provider_options).get("response_format")).get("type")
        paths = {**self._option_paths, "response_format": FORMAT_TYPES.get(str(form), "response_format.text")}
        options, refused = split_options(
            dict(_provider_options(request)), paths, {*supported, "response_format.text"}
        )
        if isinstance(options.get("tools"), list):
            # Such as the vendor's own, which join the request's.
            body["tools"] = options["tools"] = [*body.get("tools", ()), *options["tools"]]
        own, replaced = _own_fields(request), list[str]()
        for name, value in options.items():
            path = paths.get(name, "")
            field = self._wire_name("max_tokens") if path == "sampling.max_tokens" else name
            if body.pop(field, value) != value and path in own:
                replaced.append(own[path])
        body.update(options)
        return refused, replaced

    def _tool(self, tool: ToolSpec, names: ToolNames) -> bytes:
        wire = names.to_wire(tool.name)
        key = wire.encode() + b"\0" + tool.SerializeToString(deterministic=True)
        encoded = self._tools.get(key)
        if encoded is None:
            described = {"description": tool.description} if tool.description else {}
            schema = (flat_schema_json if self._profile.flat_tool_schemas else input_schema_json)(tool)
            function = {"name": wire, **described, "parameters": orjson.Fragment(schema)}
            encoded = orjson.dumps({"type": "function", "function": function})
            if len(self._tools) >= MAX_CACHED_TOOLS:
                self._tools.clear()
            self._tools[key] = encoded
        return encoded

    def _add_tools(self, request: GenerateRequest, names: ToolNames, body: JsonObject) -> frozenset[str]:
        """Returns the paths of what the request gets without a field for it."""
        if request.tool_choice.mode == ToolChoice.MODE_NONE and "tool_choice" not in self._supported:
            # Without tools in the request the model can call none.
            return frozenset({"tool_choice"})
        body["tools"] = [orjson.Fragment(self._tool(tool, names)) for tool in request.tools]
        self._add_tool_choice(request.tool_choice, names, body)
        return frozenset()

    def _add_tool_choice(self, choice: ToolChoice, names: ToolNames, body: JsonObject) -> None:
        wire = _TOOL_CHOICES.get(choice.mode)
        if choice.mode == ToolChoice.MODE_NAMED:
            wire = {"type": "function", "function": {"name": names.to_wire(choice.name)}}
        if wire is not None and "tool_choice" in self._supported:
            body["tool_choice"] = wire
        if choice.disable_parallel and "tool_choice.disable_parallel" in self._supported:
            body["parallel_tool_calls"] = False

    def _add_response_format(self, response_format: ResponseFormat, body: JsonObject) -> None:
        kind = response_format.WhichOneof("format") or ""
        if f"response_format.{kind}" not in self._supported:
            return
        if kind == "json":
            body["response_format"] = {"type": "json_object"}
            if not mentions_json(body["messages"]):
                _ask_for_json(body["messages"])
        elif kind == "json_schema":
            json_schema = encode_json_schema(response_format.json_schema)
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}


_TOOL_CHOICES: Final[Mapping[int, Any]] = {ToolChoice.MODE_NONE: "none", ToolChoice.MODE_REQUIRED: "required"}


def _ask_for_json(messages: list[JsonObject]) -> None:
    first = messages[0]
    if first["role"] == "system" and isinstance(first["content"], str):
        first["content"] += f"\n\n{ASK_FOR_JSON}"
    else:
        messages.insert(0, {"role": "system", "content": ASK_FOR_JSON})


def _own_fields(request: GenerateRequest) -> dict[str, str]:
    """Path of a field that options can set → path of what the request itself sets there."""
    own = {path: path for each, _ in request.sampling.ListFields() for path in [f"sampling.{each.name}"]}
    if request.HasField("tool_choice"):
        own |= {path: path for path in ("tool_choice", "tool_choice.disable_parallel")}
    if request.HasField("response_format"):
        kind = request.response_format.WhichOneof("format")
        own |= dict.fromkeys((*FORMAT_TYPES.values(), "response_format.text"), f"response_format.{kind}")
    return own


def _provider_options(request: GenerateRequest) -> Iterator[tuple[str, Any]]:
    for name, value in to_plain(request.provider_options).items():
        if name in RESERVED_OPTIONS:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway; remove it.")
        yield name, value
