"""Reports request fields that a provider does not support: as warnings, or as an error if `strict` is set."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest

NOT_SUPPORTED = "FIELD_NOT_SUPPORTED"
"""The code of each warning about a field that has no effect."""


def warnings_for(request: GenerateRequest, supported: AbstractSet[str], provider: str) -> list[Warning]:
    """A warning for each field that is set and not supported.

    Args:
        request: the request.
        supported: paths in the request: "sampling.top_k", "tool_choice", "response_format.json",
            "provider_options".
        provider: the name for messages, such as "echo".

    Raises:
        InvalidRequest: when the request is strict and there would be a warning.
    """
    return enforce_strict(
        request, [not_supported(path, provider) for path in _requested(request) if path not in supported]
    )


def not_supported(field: str, provider: str) -> Warning:
    """The warning about one field, for what a provider finds out while it encodes a request."""
    return Warning(code=NOT_SUPPORTED, field=field, message=f"{provider} does not support this field.")


def enforce_strict(request: GenerateRequest, warnings: list[Warning]) -> list[Warning]:
    """Returns the warnings.

    Raises:
        InvalidRequest: the request is strict and there are warnings.
    """
    if warnings and request.strict:
        raise InvalidRequest([FieldViolation(each.field, each.message) for each in warnings])
    return warnings


def formats_of(supported: AbstractSet[str]) -> frozenset[str]:
    """The response formats that the supported fields can ask for; see LimitedFormats.native_formats."""
    return frozenset(name for name, path in _FORMAT_FIELDS.items() if path in supported)


_FORMAT_FIELDS: Final = {
    "json": "response_format.json",
    "json_schema": "response_format.json_schema",
    "tool": "tool_choice",
}


def _requested(request: GenerateRequest) -> Iterator[str]:
    """Paths of the fields that change something. Automatic tool choice and free text are the defaults."""
    if request.HasField("sampling"):
        for field, _ in request.sampling.ListFields():
            yield f"sampling.{field.name}"
    if request.tool_choice.mode not in {ToolChoice.MODE_UNSPECIFIED, ToolChoice.MODE_AUTO}:
        yield "tool_choice"
    if request.tool_choice.disable_parallel:
        yield "tool_choice.disable_parallel"
    response_format = request.response_format.WhichOneof("format")
    if response_format not in {None, "text"}:
        yield f"response_format.{response_format}"
    if request.HasField("provider_options"):
        yield "provider_options"
