"""Encodes a GenerateRequest as the body of models/…:generateContent.

Source: Gemini API reference, "Generating content" (v1beta), and the types of Google's own client.
"""

from __future__ import annotations

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
    formats_of,
    not_supported,
    reasoning_left_out,
    split_options,
    unsupported_defaults,
    warnings_for,
)
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini.messages import MessageEncoder
from clawdbot_model_gateway.formats.gemini.models import ModelProfile, Thinking, profile_of
from clawdbot_model_gateway.formats.gemini.schema import (
    IGNORED_BOUNDS,
    IGNORED_CONDITIONS,
    adapt_schema,
    keywords_in,
)

JsonObject = dict[str, Any]

SAMPLING: Final = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
"""Our field → generationConfig's. Not logprobs: our reply has no field for them."""

SUPPORTED_FIELDS: Final = frozenset(
    {
        *(f"sampling.{name}" for name in SAMPLING),
        "sampling.reasoning_effort",
        "tool_choice",
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
"""What the API has a field for. Not tool_choice.disable_parallel: Gemini cannot be limited to one call."""

RESERVED_OPTIONS: Final = frozenset({"contents", "model", "systemInstruction"})
"""Fields that provider_options may not set: the request has its own fields for them."""
GENERATION_CONFIG: Final = "generationConfig"
CANDIDATE_COUNT: Final = "candidateCount"
"""Likewise reserved, in generationConfig."""
SEED_LIMIT: Final = 2**31
"""The API's seed is an int32."""
MAX_STOPS: Final = 5
"""Stop sequences that the API takes."""
MAX_CACHED_TOOLS: Final = 512
"""Tools whose JSON is cached: the same ones come with every turn."""


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """What the configuration adds where a request says nothing."""

    show_thoughts: bool = True
    """Whether to ask for the models' thoughts."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of generationConfig."""


@dataclass(slots=True)
class EncodedRequest:
    """A request as it is sent."""

    body: JsonObject
    names: ToolNames
    warnings: list[Warning]


class RequestEncoder:
    """Encodes the requests of one backend."""

    def __init__(
        self,
        provider: str,
        defaults: RequestDefaults,
        *,
        thinking: Thinking | None = None,
        unsupported: AbstractSet[str] = frozenset(),
    ) -> None:
        """Creates an encoder.

        Args:
            provider: the name that warnings show.
            defaults: what the configuration adds.
            thinking: how requests set the length of thinking; None: by the model's name.
            unsupported: paths of fields that the models refuse.
        """
        self._provider = provider
        self._defaults = defaults
        self._thinking = thinking
        self._unsupported = unsupported
        self._tools: dict[bytes, orjson.Fragment] = {}
        self._default_names = [name for name, wire in SAMPLING.items() if wire in defaults.config]

    def native_formats(self, request: GenerateRequest, model: str) -> frozenset[str]:
        """The response formats that the API has a field for in a request like this one."""
        return formats_of(self._supported(request, profile_of(model, self._thinking)))

    def encode(self, request: GenerateRequest, model: str, max_tokens: int = 0) -> EncodedRequest:
        """The body, for whole responses and streams alike.

        Args:
            request: what to answer.
            model: the vendor's name of the model.
            max_tokens: what the model can output, as the API refuses more; 0 if not known.

        Raises:
            InvalidRequest: the request is strict and contains what the API has no field for, or its
                provider_options set a reserved field.
        """
        profile = profile_of(model, self._thinking)
        names = ToolNames((tool.name for tool in request.tools), letter_first=True)
        messages = MessageEncoder(names, gemini_3=profile.gemini_3)
        body = messages.encode(request)
        supported = self._supported(request, profile)
        if request.tools:
            body["tools"] = [{"functionDeclarations": [self._tool(tool, names) for tool in request.tools]}]
            if request.tool_choice.mode in _CALLING_MODES and "tool_choice" in supported:
                body["toolConfig"] = {"functionCallingConfig": _tool_choice(request.tool_choice, names)}
        config = {**self._default_config(supported), **_sampling(request, supported)}
        if 0 < max_tokens < config.get("maxOutputTokens", 0):
            config["maxOutputTokens"] = max_tokens
        thinking_config = self._thinking_config(request, profile)
        if thinking_config:
            config["thinkingConfig"] = thinking_config
        kind = request.response_format.WhichOneof("format") or ""
        if kind in _FORMAT_ENCODERS and f"response_format.{kind}" in supported:
            config.update(_FORMAT_ENCODERS[kind](request.response_format))
        if config:
            body[GENERATION_CONFIG] = config
        unsupported = messages.unsupported
        stops = range(MAX_STOPS, len(request.sampling.stop))
        unsupported = unsupported + [f"sampling.stop[{index}]" for index in stops]
        if request.HasField("provider_options"):
            options = to_plain(request.provider_options)
            unsupported = unsupported + _take_refused(options, supported)
            _add_provider_options(body, options)
        warnings = warnings_for(request, supported, self._provider)
        if kind == "json_schema" and (ignored := IGNORED_BOUNDS & _schema_keywords(request)):
            warnings += enforce_strict(request, [_not_enforced(ignored, self._provider)])
        if unsupported:
            warnings += enforce_strict(request, [not_supported(path, self._provider) for path in unsupported])
        warnings += unsupported_defaults(self._default_names, request, supported, self._provider)
        warnings += reasoning_left_out(messages.left_out, self._provider)
        warnings += messages.repairs.warnings()
        return EncodedRequest(body, names, warnings)

    def _default_config(self, supported: AbstractSet[str]) -> Mapping[str, Any]:
        lost = {SAMPLING[name] for name in self._default_names if f"sampling.{name}" not in supported}
        return {name: value for name, value in self._defaults.config.items() if name not in lost}

    def _supported(self, request: GenerateRequest, profile: ModelProfile) -> AbstractSet[str]:
        return SUPPORTED_FIELDS - set(self._unsupported) - set(_unsupported_by(profile, request))

    def _thinking_config(self, request: GenerateRequest, profile: ModelProfile) -> JsonObject:
        """If thinking cannot be turned off, the least of it; the warning says so."""
        if profile.thinking == "none":
            return {}
        refused = "sampling.reasoning_effort" in self._unsupported
        config = profile.thinking_config(0 if refused else request.sampling.reasoning_effort)[0]
        thinks = config.get("thinkingBudget") != 0 if config else profile.thinks_by_default
        return {**config, "includeThoughts": True} if thinks and self._defaults.show_thoughts else config

    def _tool(self, tool: ToolSpec, names: ToolNames) -> orjson.Fragment:
        wire = names.to_wire(tool.name)
        key = wire.encode() + b"\0" + tool.SerializeToString(deterministic=True)
        encoded = self._tools.get(key)
        if encoded is None:
            declaration: JsonObject = {"name": wire, "description": tool.description}
            if tool.input_schema.fields:
                declaration["parametersJsonSchema"] = adapt_schema(to_plain(tool.input_schema))
            # Sorted, since a Struct keeps no order and the vendor's prompt cache compares bytes.
            encoded = orjson.Fragment(orjson.dumps(declaration, option=orjson.OPT_SORT_KEYS))
            if len(self._tools) >= MAX_CACHED_TOOLS:
                self._tools.clear()
            self._tools[key] = encoded
        return encoded


def _unsupported_by(profile: ModelProfile, request: GenerateRequest) -> list[str]:
    """Paths that the API has a field for, but not with this model or this value."""
    unsupported = []
    sampling = request.sampling
    if not profile.thinking_config(sampling.reasoning_effort)[1]:
        unsupported.append("sampling.reasoning_effort")
    if sampling.HasField("seed") and not -SEED_LIMIT <= sampling.seed < SEED_LIMIT:
        unsupported.append("sampling.seed")
    if not profile.takes_penalties:
        unsupported += ["sampling.presence_penalty", "sampling.frequency_penalty"]
    if request.tools and not profile.gemini_3:
        # These models refuse functions together with JSON.
        unsupported += ["response_format.json", "response_format.json_schema"]
    elif not IGNORED_CONDITIONS.isdisjoint(_schema_keywords(request)):
        unsupported.append("response_format.json_schema")
    return unsupported


def _schema_keywords(request: GenerateRequest) -> set[str]:
    """The keywords of the schema that a request asks for."""
    asked = request.response_format
    return keywords_in(to_plain(asked.json_schema.schema)) if asked.HasField("json_schema") else set()


def _not_enforced(keywords: AbstractSet[str], provider: str) -> Warning:
    message = f"{provider} does not enforce these: {', '.join(sorted(keywords))}."
    return Warning(code=NOT_SUPPORTED, field="response_format.json_schema.schema", message=message)


def _sampling(request: GenerateRequest, supported: AbstractSet[str]) -> JsonObject:
    return {
        SAMPLING[descriptor.name]: list(value)[:MAX_STOPS] if descriptor.name == "stop" else value
        for descriptor, value in request.sampling.ListFields()
        if descriptor.name in SAMPLING and f"sampling.{descriptor.name}" in supported
    }


_CALLING_MODES: Final = {
    ToolChoice.MODE_NONE: "NONE",
    ToolChoice.MODE_REQUIRED: "ANY",
    ToolChoice.MODE_NAMED: "ANY",
}


def _tool_choice(choice: ToolChoice, names: ToolNames) -> JsonObject:
    config: JsonObject = {"mode": _CALLING_MODES[choice.mode]}
    if choice.mode == ToolChoice.MODE_NAMED:
        config["allowedFunctionNames"] = [names.to_wire(choice.name)]
    return config


def _json_schema(response_format: ResponseFormat) -> JsonObject:
    json_schema = response_format.json_schema
    title = {"title": json_schema.name} if json_schema.name else {}
    schema = {**title, **adapt_schema(to_plain(json_schema.schema))}
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


_FORMAT_ENCODERS: Final[Mapping[str, Callable[[ResponseFormat], JsonObject]]] = {
    "json": lambda _: {"responseMimeType": "application/json"},
    "json_schema": _json_schema,
}


def _take_refused(options: dict[str, Any], supported: AbstractSet[str]) -> list[str]:
    """Removes what the model does not support from the options' generationConfig; returns the paths."""
    config = options.get(GENERATION_CONFIG)
    if not isinstance(config, dict):
        return []
    paths = {wire: f"sampling.{name}" for name, wire in SAMPLING.items()}
    options[GENERATION_CONFIG], refused = split_options(config, paths, supported)
    return [path.replace(".", f".{GENERATION_CONFIG}.", 1) for path in refused]


def _add_provider_options(body: JsonObject, options: Mapping[str, Any]) -> None:
    """Merges objects with ours, so that an option can set a single field of generationConfig."""
    for name, value in options.items():
        if name in RESERVED_OPTIONS:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway; remove it.")
        if name == GENERATION_CONFIG and isinstance(value, dict) and CANDIDATE_COUNT in value:
            raise InvalidRequest.of(
                f"provider_options.{name}.{CANDIDATE_COUNT}", "Is set by the gateway; remove it."
            )
        ours = body.get(name)
        if isinstance(ours, dict) and isinstance(value, dict):
            body[name] = {**ours, **value}
        elif isinstance(ours, list) and isinstance(value, list):
            body[name] = ours + value
        else:
            body[name] = value
