"""A GenerateRequest as the body of POST /responses.

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

from clawdbot_model_gateway.core.supported_fields import forms_of, not_supported, told, warnings_for
from clawdbot_model_gateway.formats.chat.request import EFFORTS
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames, wire_name
from clawdbot_model_gateway.formats.responses.messages import InputWriter

Wire = dict[str, Any]

SAMPLING: Final = {"max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"}
"""Our names → the wire's. It has no stop, seed, top_k and penalties."""
CHOSEN: Final = frozenset({"temperature", "top_p"})
"""What a model that reasons refuses, unless it is told not to."""
HONOURED: Final = frozenset(
    {
        *(f"sampling.{each}" for each in SAMPLING),
        "sampling.reasoning_effort",
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json",
        "response_format.json_schema",
        "provider_options",
    }
)
RESERVED: Final = frozenset({"input", "instructions", "model", "stream", "background"})
"""Fields that provider_options may not set: they say what is asked, and what the reply looks like."""
COUNTED: Final = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning"),
        *("parallel_tool_calls", "truncation"),
    }
)
"""Fields that POST /responses/input_tokens takes."""
PLAIN: Final = re.compile(r"(ft:)?(gpt-3|gpt-4|chatgpt-|gpt-[\w.]+-chat)")
"""How the names of models begin that do not reason. They refuse to be asked about it; all newer ones do."""
NO_ARGUMENTS: Final[Wire] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Habits:
    """How one backend is spoken to."""

    reasons: bool | None = None
    """Whether its models reason; None: by their names."""
    summary: str | None = None
    """How much of their thoughts to ask for."""
    unsupported: AbstractSet[str] = frozenset()
    """Paths of fields that the models refuse."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Sampling that a request does not say otherwise, under our names."""


@dataclass(slots=True)
class Encoded:
    """A request on the wire."""

    body: Wire
    names: ToolNames
    warnings: list[Warning]

    def asked(self, *, stream: bool) -> bytes:
        """The body of POST /responses."""
        # Sorted, as a Struct keeps no order and the vendor's prompt cache compares bytes.
        return orjson.dumps({**self.body, "stream": stream}, option=orjson.OPT_SORT_KEYS)

    def counted(self) -> bytes:
        """The body of POST /responses/input_tokens."""
        body = {name: value for name, value in self.body.items() if name in COUNTED}
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


class RequestWriter:
    """Writes requests for one backend."""

    def __init__(self, provider: str, habits: Habits) -> None:
        """Args: provider: the name that warnings show."""
        self._provider = provider
        self._habits = habits

    @property
    def forms(self) -> frozenset[str]:
        """The forms of a reply that there is a field for."""
        return forms_of(HONOURED - self._habits.unsupported)

    def write(self, request: GenerateRequest, model: str) -> Encoded:
        """The body.

        Raises:
            InvalidRequest: the request is strict and holds what the wire cannot carry, or its
                provider_options set a reserved field.
        """
        names = ToolNames(tool.name for tool in request.tools)
        writer = InputWriter(names)
        # Nothing is left with the vendor: the conversation is ours, thoughts included.
        body: Wire = {"model": model, "store": False, **writer.write(request)}
        reasons = self._reasons(model)
        if reasons:
            body["include"] = ["reasoning.encrypted_content"]
        honoured = HONOURED - self._habits.unsupported - self._refused(request, reasons=reasons)
        self._reasoning(request, honoured, body, reasons=reasons)
        warnings = warnings_for(request, honoured, self._provider)
        if writer.unsupported:
            warnings += told(request, [not_supported(each, self._provider) for each in writer.unsupported])
        warnings += self._sampling(request, honoured, body)
        if request.tools:
            body["tools"] = [_tool(tool, names) for tool in request.tools]
            _choice(request.tool_choice, names, honoured, body)
        form = request.response_format.WhichOneof("format") or ""
        if form in _FORMATS and f"response_format.{form}" in honoured:
            body["text"] = {"format": _FORMATS[form](request.response_format)}
        if request.HasField("provider_options"):
            _add_options(request, body)
        return Encoded(body, names, warnings)

    def _reasons(self, model: str) -> bool:
        known = self._habits.reasons
        return not PLAIN.match(model) if known is None else known

    @staticmethod
    def _refused(request: GenerateRequest, *, reasons: bool) -> AbstractSet[str]:
        effort = EFFORTS.get(request.sampling.reasoning_effort)
        if not reasons:
            # Not to reason is what such a model does anyway.
            return frozenset() if effort == "none" else frozenset({"sampling.reasoning_effort"})
        return frozenset() if effort == "none" else frozenset(f"sampling.{each}" for each in CHOSEN)

    def _reasoning(
        self, request: GenerateRequest, honoured: AbstractSet[str], body: Wire, *, reasons: bool
    ) -> None:
        if not reasons:
            return
        effort = EFFORTS.get(request.sampling.reasoning_effort)
        effort = effort if "sampling.reasoning_effort" in honoured else None
        wanted = {"effort": effort, "summary": self._habits.summary}
        found = {name: value for name, value in wanted.items() if value}
        if found:
            body["reasoning"] = found

    def _sampling(self, request: GenerateRequest, honoured: AbstractSet[str], body: Wire) -> list[Warning]:
        """Writes it, and warns of what the configuration says that has no place."""
        asked = {each.name: value for each, value in request.sampling.ListFields()}
        for name, wire in SAMPLING.items():
            value = asked.get(name, self._habits.defaults.get(name))
            if value is not None and f"sampling.{name}" in honoured:
                body[wire] = value
        lost = [name for name in self._habits.defaults if f"sampling.{name}" not in honoured]
        return [not_supported(f"sampling.{name}", self._provider) for name in lost if name not in asked]


def _tool(tool: ToolSpec, names: ToolNames) -> Wire:
    return {
        "type": "function",
        "name": names.wire(tool.name),
        "description": tool.description,
        "parameters": to_plain(tool.input_schema) if tool.input_schema.fields else NO_ARGUMENTS,
        # The API's default is true, which refuses every schema with an optional argument.
        "strict": False,
    }


def _choice(choice: ToolChoice, names: ToolNames, honoured: AbstractSet[str], body: Wire) -> None:
    wire = _CHOICES.get(choice.mode)
    if choice.mode == ToolChoice.MODE_NAMED:
        wire = {"type": "function", "name": names.wire(choice.name)}
    if wire is not None and "tool_choice" in honoured:
        body["tool_choice"] = wire
    if choice.disable_parallel and "tool_choice.disable_parallel" in honoured:
        body["parallel_tool_calls"] = False


_CHOICES: Final[Mapping[int, Any]] = {ToolChoice.MODE_NONE: "none", ToolChoice.MODE_REQUIRED: "required"}


def _schema(wanted: ResponseFormat) -> Wire:
    given = wanted.json_schema
    # Strict, since the contract promises JSON that matches and not JSON that may.
    name = wire_name(given.name or "reply")
    return {"type": "json_schema", "name": name, "schema": to_plain(given.schema), "strict": True}


_FORMATS: Final[Mapping[str, Callable[[ResponseFormat], Wire]]] = {
    "json": lambda _: {"type": "json_object"},
    "json_schema": _schema,
}


def _add_options(request: GenerateRequest, body: Wire) -> None:
    """Lists (`tools`, `include`) come beside ours, objects (`text`, `reasoning`) are filled up."""
    for name, value in to_plain(request.provider_options).items():
        if name in RESERVED:
            raise InvalidRequest.of(f"provider_options.{name}", "Is set by the gateway.")
        ours = body.get(name)
        if isinstance(ours, list) and isinstance(value, list):
            body[name] = ours + [each for each in value if each not in ours]
        elif isinstance(ours, dict) and isinstance(value, dict):
            body[name] = {**ours, **value}
        else:
            body[name] = value
