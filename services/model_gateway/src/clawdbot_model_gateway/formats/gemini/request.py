"""A GenerateRequest as the body of models/…:generateContent.

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

from clawdbot_model_gateway.core.supported_fields import forms_of, not_supported, told, warnings_for
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini.messages import ContentWriter
from clawdbot_model_gateway.formats.gemini.models import Thinking, Traits, traits_of
from clawdbot_model_gateway.formats.gemini.schemas import for_gemini

Wire = dict[str, Any]

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
"""Our field → generationConfig's. Not logprobs: the contract's reply has no place for them."""

HONOURED: Final = frozenset(
    {
        *(f"sampling.{each}" for each in SAMPLING),
        "sampling.reasoning_effort",
        "tool_choice",
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
"""What the wire has a field for. Not tool_choice.disable_parallel: nothing keeps Gemini to one call."""

RESERVED: Final = frozenset({"contents", "model", "systemInstruction"})
"""Fields that provider_options may not set: they are said in the request."""
COUNTED: Final = "candidateCount"
"""The same in generationConfig."""
LARGEST_SEED: Final = 2**31
"""An int32 on this wire."""
KNOWN_SCHEMAS: Final = 512
"""Tools whose JSON is kept: the same ones come with every turn."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How one backend is to be asked."""

    thinking: Thinking | None = None
    """How its models are told to think; None: by their names."""
    show_thoughts: bool = True
    """Whether to ask for what the model thinks."""
    unsupported: AbstractSet[str] = frozenset()
    """Paths of fields that the models refuse."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of generationConfig that a request does not say otherwise."""


@dataclass(slots=True)
class Encoded:
    """A request on the wire."""

    body: Wire
    names: ToolNames
    warnings: list[Warning]


class RequestWriter:
    """Writes requests for one backend."""

    def __init__(self, provider: str, habits: Habits) -> None:
        """Args: provider: the name that warnings show."""
        self._provider = provider
        self._habits = habits
        self._tools: dict[bytes, orjson.Fragment] = {}

    def forms(self, request: GenerateRequest, model: str) -> frozenset[str]:
        """The forms of a reply that there is a field for in a request as this one."""
        return forms_of(self._honoured(request, traits_of(model, self._habits.thinking)))

    def write(self, request: GenerateRequest, model: str) -> Encoded:
        """The body, for whole replies and streams alike.

        Raises:
            InvalidRequest: the request is strict and holds what the wire cannot carry, or its
                provider_options set a reserved field.
        """
        traits = traits_of(model, self._habits.thinking)
        names = ToolNames((tool.name for tool in request.tools), letter_first=True)
        content = ContentWriter(names, modern=traits.modern)
        body = content.write(request)
        honoured = self._honoured(request, traits)
        if request.tools:
            body["tools"] = [{"functionDeclarations": [self._tool(tool, names) for tool in request.tools]}]
            if request.tool_choice.mode in _MODES and "tool_choice" in honoured:
                body["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice, names)}
        config = {**self._habits.defaults, **_sampling(request, honoured)}
        thought = self._thinking(request, traits)
        if thought:
            config["thinkingConfig"] = thought
        form = request.response_format.WhichOneof("format") or ""
        if form in _FORMATS and f"response_format.{form}" in honoured:
            config.update(_FORMATS[form](request.response_format))
        if config:
            body["generationConfig"] = config
        if request.HasField("provider_options"):
            _add_options(body, to_plain(request.provider_options))
        warnings = warnings_for(request, honoured, self._provider)
        if content.unsupported:
            warnings += told(request, [not_supported(each, self._provider) for each in content.unsupported])
        return Encoded(body, names, warnings)

    def _honoured(self, request: GenerateRequest, traits: Traits) -> AbstractSet[str]:
        return HONOURED - set(self._habits.unsupported) - set(_beyond(request, traits))

    def _thinking(self, request: GenerateRequest, traits: Traits) -> Wire:
        """Where thinking cannot be kept from, as little of it as there can be; the warning says so."""
        if traits.thinking == "none":
            return {}
        refused = "sampling.reasoning_effort" in self._habits.unsupported
        thought = traits.thought(0 if refused else request.sampling.reasoning_effort)[0]
        thinks = thought.get("thinkingBudget") != 0 if thought else traits.unasked
        return {**thought, "includeThoughts": True} if thinks and self._habits.show_thoughts else thought

    def _tool(self, tool: ToolSpec, names: ToolNames) -> orjson.Fragment:
        wire = names.wire(tool.name)
        key = wire.encode() + b"\0" + tool.SerializeToString(deterministic=True)
        known = self._tools.get(key)
        if known is None:
            declared: Wire = {"name": wire, "description": tool.description}
            if tool.input_schema.fields:
                declared["parametersJsonSchema"] = for_gemini(to_plain(tool.input_schema))
            # Sorted, as a Struct keeps no order and the vendor's prompt cache compares bytes.
            known = orjson.Fragment(orjson.dumps(declared, option=orjson.OPT_SORT_KEYS))
            if len(self._tools) >= KNOWN_SCHEMAS:
                self._tools.clear()
            self._tools[key] = known
        return known


def _beyond(request: GenerateRequest, traits: Traits) -> list[str]:
    """Paths that the wire knows and this model, or this value, does not go with."""
    beyond = []
    sampling = request.sampling
    if not traits.thought(sampling.reasoning_effort)[1]:
        beyond.append("sampling.reasoning_effort")
    if sampling.HasField("seed") and not -LARGEST_SEED <= sampling.seed < LARGEST_SEED:
        beyond.append("sampling.seed")
    if request.tools and not traits.modern:
        # They refuse functions together with JSON.
        beyond += ["response_format.json", "response_format.json_schema"]
    return beyond


def _sampling(request: GenerateRequest, honoured: AbstractSet[str]) -> Wire:
    return {
        SAMPLING[descriptor.name]: list(value) if descriptor.name == "stop" else value
        for descriptor, value in request.sampling.ListFields()
        if descriptor.name in SAMPLING and f"sampling.{descriptor.name}" in honoured
    }


_MODES: Final = {
    ToolChoice.MODE_NONE: "NONE",
    ToolChoice.MODE_REQUIRED: "ANY",
    ToolChoice.MODE_NAMED: "ANY",
}


def _choice(choice: ToolChoice, names: ToolNames) -> Wire:
    wire: Wire = {"mode": _MODES[choice.mode]}
    if choice.mode == ToolChoice.MODE_NAMED:
        wire["allowedFunctionNames"] = [names.wire(choice.name)]
    return wire


def _schema(wanted: ResponseFormat) -> Wire:
    named = {"title": wanted.json_schema.name} if wanted.json_schema.name else {}
    schema = {**named, **for_gemini(to_plain(wanted.json_schema.schema))}
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


_FORMATS: Final[Mapping[str, Callable[[ResponseFormat], Wire]]] = {
    "json": lambda _: {"responseMimeType": "application/json"},
    "json_schema": _schema,
}


def _add_options(body: Wire, options: Mapping[str, Any]) -> None:
    """Objects are joined with what the request says, so that one field of generationConfig can be set."""
    for name, value in options.items():
        if name in RESERVED:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway.")
        if name == "generationConfig" and isinstance(value, dict) and COUNTED in value:
            raise InvalidRequest.of(f"provider_options.{name}.{COUNTED}", "Is set by the gateway.")
        said = body.get(name)
        if isinstance(said, dict) and isinstance(value, dict):
            body[name] = {**said, **value}
        elif isinstance(said, list) and isinstance(value, list):
            body[name] = said + value
        else:
            body[name] = value
