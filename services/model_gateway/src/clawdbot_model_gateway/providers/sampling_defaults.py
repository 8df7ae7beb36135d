"""The sampling that a backend's configuration sets for requests that say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clawdbot_model_gateway.settings import BackendSettings

SAMPLING_FIELDS: Final = (
    *("max_tokens", "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed"),
    "stop",
)
"""Names in the settings, and in our requests."""


def sampling_defaults(settings: BackendSettings, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The fields that are set, with their values.

    Args:
        settings: of the backend.
        names: the vendor's names, of the fields for which it has another one.
    """
    values = {field: getattr(settings, field) for field in SAMPLING_FIELDS}
    values["stop"] = list(settings.stop) or None
    names = names or {}
    return {names.get(field, field): value for field, value in values.items() if value is not None}
