"""Which fields of a request a provider can honour; what it cannot is told, or refused if strict."""

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
"""The code of every warning about a field that had no effect."""


def warnings_for(request: GenerateRequest, honoured: AbstractSet[str], provider: str) -> list[Warning]:
    """A warning for each field that is set and not among those honoured.

    Args:
        request: the request.
        honoured: paths in the request: "sampling.top_k", "tool_choice", "response_format.json",
            "provider_options".
        provider: the name to show, such as "echo".

    Raises:
        InvalidRequest: when the request is strict and there would be a warning.
    """
    return told(request, [not_supported(path, provider) for path in _asked(request) if path not in honoured])


def not_supported(field: str, provider: str) -> Warning:
    """The warning about one field, for what a provider finds out by itself while it encodes."""
    return Warning(code=NOT_SUPPORTED, field=field, message=f"{provider} cannot honour this field.")


def told(request: GenerateRequest, warnings: list[Warning]) -> list[Warning]:
    """The warnings as they are, or as one InvalidRequest when the request is strict."""
    if warnings and request.strict:
        raise InvalidRequest([FieldViolation(each.field, each.message) for each in warnings])
    return warnings


def forms_of(honoured: AbstractSet[str]) -> frozenset[str]:
    """The forms of a reply that can be asked for by the fields honoured, as LimitedForms.forms says them."""
    return frozenset(form for form, path in _FORMS.items() if path in honoured)


_FORMS: Final = {
    "json": "response_format.json",
    "json_schema": "response_format.json_schema",
    "tool": "tool_choice",
}


def _asked(request: GenerateRequest) -> Iterator[str]:
    """Paths of the fields that ask for something; auto and free text are what happens anyway."""
    if request.HasField("sampling"):
        for field, _ in request.sampling.ListFields():
            yield f"sampling.{field.name}"
    if request.tool_choice.mode not in {ToolChoice.MODE_UNSPECIFIED, ToolChoice.MODE_AUTO}:
        yield "tool_choice"
    if request.tool_choice.disable_parallel:
        yield "tool_choice.disable_parallel"
    form = request.response_format.WhichOneof("format")
    if form not in {None, "text"}:
        yield f"response_format.{form}"
    if request.HasField("provider_options"):
        yield "provider_options"
