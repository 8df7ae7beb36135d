"""Reports request fields that a provider does not support: as warnings, or as an error if `strict` is set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    ToolChoice,
    Warning,  # noqa: A004 - the contract's name
)
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest

NOT_SUPPORTED = "FIELD_NOT_SUPPORTED"
"""The code of each warning about a field that has no effect."""
REASONING_LEFT_OUT = "REASONING_LEFT_OUT"
"""The code of the warning about thoughts that the backend cannot be shown. Strict requests do not fail for
it: the thoughts are earlier replies' and nothing that this request asks for."""


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


def replaced_by_options(field: str) -> Warning:
    """The warning about a field of the request that its own provider_options set to something else."""
    return Warning(code=NOT_SUPPORTED, field=field, message="provider_options set this field as well.")


def reasoning_left_out(paths: Sequence[str], provider: str) -> list[Warning]:
    """At most one warning about parts of the conversation.

    Args:
        paths: of the reasoning that is not sent.
        provider: the name for messages.
    """
    if not paths:
        return []
    parts = "1 part" if len(paths) == 1 else f"{len(paths)} parts"
    message = f"{provider} takes no such reasoning back: {parts} left out."
    return [Warning(code=REASONING_LEFT_OUT, field=paths[0], message=message)]


def unsupported_defaults(
    names: Iterable[str], request: GenerateRequest, supported: AbstractSet[str], provider: str
) -> list[Warning]:
    """A warning for each default of the configuration that is not sent; strict requests do not fail for them.

    Args:
        names: of fields of `sampling` that the configuration sets.
        request: a field that it sets as well has its own warning.
        supported: as for warnings_for.
        provider: the name for messages.
    """
    paths = [f"sampling.{name}" for name in names if not _is_set(request, name)]
    return [not_supported(path, provider) for path in paths if path not in supported]


def split_options(
    options: Mapping[str, Any], paths: Mapping[str, str], supported: AbstractSet[str]
) -> tuple[dict[str, Any], list[str]]:
    """The options to send, and the paths of those that set what the backend does not support.

    Args:
        options: a request's provider_options.
        paths: the vendor's name of a field → our path.
        supported: as for warnings_for.
    """
    refused = [name for name in options if name in paths and paths[name] not in supported]
    sent = {name: value for name, value in options.items() if name not in refused}
    return sent, [f"provider_options.{name}" for name in refused]


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
    if request.HasField("tool_choice"):
        if request.tool_choice.mode not in {ToolChoice.MODE_UNSPECIFIED, ToolChoice.MODE_AUTO}:
            yield "tool_choice"
        if request.tool_choice.disable_parallel:
            yield "tool_choice.disable_parallel"
    if request.HasField("response_format"):
        response_format = request.response_format.WhichOneof("format")
        if response_format not in {None, "text"}:
            yield f"response_format.{response_format}"
    if request.HasField("provider_options"):
        yield "provider_options"


def _is_set(request: GenerateRequest, name: str) -> bool:
    return any(descriptor.name == name for descriptor, _ in request.sampling.ListFields())
