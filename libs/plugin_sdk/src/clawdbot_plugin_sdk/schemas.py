"""From a function's types to JSON Schema (2020-12) and back: what a model is shown, what a tool is given."""

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
from clawdbot_plugin_sdk.errors import ArgumentsDoNotFit, ResultDoesNotFit

RESULT: Final = "result"
"""Where a result that is no object stands: a structured result always is one."""

_PREFIX: Final = "argument_"
"""Keeps a parameter called `json` or `copy` apart from the model's own methods."""


class _Plain(GenerateJsonSchema):
    """Without the titles that repeat each name: a model pays for every token."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - as pydantic calls it
        return False


class Arguments:
    """What a tool takes."""

    def __init__(self, function: Callable[..., Any], hints: Mapping[str, Any], where: str) -> None:
        """Raises TypeError for a parameter that cannot be told to a model."""
        self.context: str | None = None
        """The name of the parameter that takes the Context."""
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(function).parameters.values():
            annotation = _annotation(parameter, hints, where)
            if (typing.get_origin(annotation) or annotation) is Context:
                self.context = parameter.name
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            described: Any = Annotated[annotation, Field(alias=parameter.name)]
            fields[_PREFIX + parameter.name] = (described, default)
        self._names = tuple(fields)
        try:
            self._model: type[BaseModel] = create_model(
                "Arguments", __config__=ConfigDict(extra="forbid", validate_default=False), **fields
            )
            self.schema = _schema_of(self._model.model_json_schema(schema_generator=_Plain))
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise TypeError(f"{where}: its arguments have no JSON Schema: {_first_line(error)}") from None

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function's own types.

        Raises:
            ArgumentsDoNotFit: with each path.
        """
        try:
            read = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            raise ArgumentsDoNotFit(
                [(path_of(each["loc"]), each["msg"]) for each in _details(error)]
            ) from None
        return {name.removeprefix(_PREFIX): getattr(read, name) for name in self._names}


class Result:
    """What a tool gives back."""

    def __init__(self, hint: Any, where: str) -> None:
        """Raises TypeError for a type that cannot be told to a model."""
        self.is_text = hint is str
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(hint)
            inner = _schema_of(self._adapter.json_schema(mode="serialization", schema_generator=_Plain))
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise TypeError(f"{where}: its result has no JSON Schema: {_first_line(error)}") from None
        self.wrapped = inner.get("type") != "object"
        self.schema = _wrapped(inner) if self.wrapped else inner

    def write(self, value: Any) -> bytes:
        """The value as JSON, checked against the type.

        Raises:
            ResultDoesNotFit: when the function returned something else than it promised.
        """
        try:
            return self._adapter.dump_json(self._adapter.validate_python(value), by_alias=True)
        except ValidationError as error:
            first = _details(error)[0]
            raise ResultDoesNotFit(f"{path_of(first['loc']) or RESULT}: {first['msg']}") from None


def path_of(location: tuple[int | str, ...]) -> str:
    """As people write it: guests[0].name."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _annotation(parameter: inspect.Parameter, hints: Mapping[str, Any], where: str) -> Any:
    if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD and parameter.kind is not parameter.KEYWORD_ONLY:
        raise TypeError(f"{where}: {parameter} cannot be told to a model; name each parameter.")
    if parameter.name not in hints:
        raise TypeError(
            f"{where}: the parameter {parameter.name} needs a type, such as `{parameter.name}: int`."
        )
    return hints[parameter.name]


def _schema_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its outermost object in sight: a recursive type hides it behind a reference."""
    schema.pop("title", None)
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        return {**schema["$defs"][reference.removeprefix("#/$defs/")], "$defs": schema["$defs"]}
    return schema


def _wrapped(inner: dict[str, Any]) -> dict[str, Any]:
    definitions = inner.pop("$defs", None)
    outer: dict[str, Any] = {"type": "object", "properties": {RESULT: inner}, "required": [RESULT]}
    return {**outer, "$defs": definitions} if definitions else outer


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
