"""Derives JSON Schema (2020-12) from a function's types, and validates arguments and results against them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from clawdbot_plugin_sdk.context import Context
from clawdbot_plugin_sdk.errors import InvalidArguments, InvalidResult
from clawdbot_plugin_sdk.problem_words import problem_words

RESULT_KEY: Final = "result"
"""The key of a result that is not an object: a structured result always is an object."""

_FIELD_PREFIX: Final = "argument_"
"""Keeps a parameter called `json` or `copy` from clashing with the methods of a pydantic model."""


class _UntitledJsonSchema(GenerateJsonSchema):
    """Omits the titles that repeat each field's name: they would cost tokens in every model call."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


class Arguments:
    """The parameters of a tool: their JSON Schema and validation."""

    def __init__(self, function: Callable[..., Any], hints: Mapping[str, Any], label: str) -> None:
        """Raises TypeError for a parameter that cannot be described to a model."""
        self.context_parameter: str | None = None
        """The name of the parameter that receives the Context; None if there is none."""
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(function).parameters.values():
            annotation = _parameter_type(parameter, hints, label)
            if (typing.get_origin(annotation) or annotation) is Context:
                self.context_parameter = parameter.name
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            aliased: Any = Annotated[annotation, Field(alias=parameter.name)]
            fields[_FIELD_PREFIX + parameter.name] = (aliased, default)
        self._field_names = tuple(fields)
        try:
            self._model: type[BaseModel] = create_model(
                "Arguments", __config__=ConfigDict(extra="forbid", validate_default=False), **fields
            )
            self.schema = _inline_root(self._model.model_json_schema(schema_generator=_UntitledJsonSchema))
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise TypeError(
                f"{label}: the arguments cannot be described by a JSON Schema: {_first_line(error)}"
            ) from None

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Converts the arguments to the function's own types.

        Raises:
            InvalidArguments: with the path of each problem.
        """
        try:
            parsed = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            raise InvalidArguments(
                [(format_path(problem["loc"]), problem_words(problem)) for problem in _error_details(error)]
            ) from None
        return {name.removeprefix(_FIELD_PREFIX): getattr(parsed, name) for name in self._field_names}


class Result:
    """The return type of a tool: its JSON Schema, validation and serialization."""

    def __init__(self, hint: Any, label: str) -> None:
        """Raises TypeError for a type that cannot be described by a JSON Schema."""
        self.is_text = hint is str
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(hint)
            inner = _inline_root(
                self._adapter.json_schema(mode="serialization", schema_generator=_UntitledJsonSchema)
            )
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise TypeError(
                f"{label}: the return type cannot be described by a JSON Schema: {_first_line(error)}"
            ) from None
        self.wrapped = inner.get("type") != "object"
        self.schema = _wrap(inner) if self.wrapped else inner

    def serialize(self, value: Any) -> bytes:
        """Validates the value against the type and returns it as JSON.

        Raises:
            InvalidResult: the value does not match the return type.
        """
        try:
            return self._adapter.dump_json(self._adapter.validate_python(value), by_alias=True)
        except ValidationError as error:
            first = _error_details(error)[0]
            raise InvalidResult(
                f"{format_path(first['loc']) or RESULT_KEY}: {problem_words(first)}"
            ) from None


def format_path(location: tuple[int | str, ...]) -> str:
    """The path as people write it: guests[0].name."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _parameter_type(parameter: inspect.Parameter, hints: Mapping[str, Any], label: str) -> Any:
    if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD and parameter.kind is not parameter.KEYWORD_ONLY:
        raise TypeError(f"{label}: {parameter} cannot be described to a model. Name each parameter.")
    if parameter.name not in hints:
        raise TypeError(
            f"{label}: the parameter {parameter.name} needs a type (example: `{parameter.name}: int`)."
        )
    return hints[parameter.name]


def _inline_root(schema: dict[str, Any]) -> dict[str, Any]:
    """Replaces a reference at the root by its target: a recursive type has its root object in $defs."""
    schema.pop("title", None)
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        return {**schema["$defs"][reference.removeprefix("#/$defs/")], "$defs": schema["$defs"]}
    return schema


def _wrap(inner: dict[str, Any]) -> dict[str, Any]:
    definitions = inner.pop("$defs", None)
    outer: dict[str, Any] = {"type": "object", "properties": {RESULT_KEY: inner}, "required": [RESULT_KEY]}
    return {**outer, "$defs": definitions} if definitions else outer


def _error_details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
