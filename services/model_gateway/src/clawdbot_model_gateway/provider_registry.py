"""Finds the installed providers, and creates a backend's provider from its configuration.

A provider is installed by an entry point of the group `clawdbot.providers`. Only those that a backend uses
are imported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Final, Protocol

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import Section
from clawdbot_servicekit.settings.values import relative_to
from clawdbot_servicekit.suggestions import nearest_or_all
from clawdbot_servicekit.validation_words import section_errors
from pydantic import ValidationError

from clawdbot_model_gateway.core.provider import Provider
from clawdbot_model_gateway.core.provider_keys import Key, keyed_provider
from clawdbot_model_gateway.settings import BackendSettings

ENTRY_POINT_GROUP: Final = "clawdbot.providers"


class ProviderClass(Protocol):
    """The object that an entry point of the group names."""

    options: ClassVar[type[Section]]
    """The keys of a backend that only this provider has."""

    def __call__(self, settings: BackendSettings, options: Any) -> Provider:
        """The provider of one backend. Raises StartupError for what an operator can fix."""


def installed_providers() -> dict[str, EntryPoint]:
    """Name → entry point.

    Raises:
        StartupError: two packages define the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise StartupError(
                f"Two installed packages define the provider {point.name}: {known.value} and {point.value}. "
                "Uninstall one of them."
            )
    return found


def make_provider(
    config_path: str, settings: BackendSettings, available: Mapping[str, EntryPoint]
) -> Provider:
    """The provider of one backend.

    Args:
        config_path: the backend's section of the configuration: "model", "models.backends.vllm".
        settings: the content of that section.
        available: the installed providers.

    Raises:
        StartupError: for an unknown provider, one that cannot be loaded, and each invalid key.
    """
    provider = _provider_class(config_path, settings, available)
    options = _options(config_path, settings, provider.options)
    if not settings.api_keys:
        return provider(settings, options)
    keys = [
        Key(
            number,
            provider(settings.model_copy(update={"api_key": each.key, "api_keys": ()}), options),
            each.concurrency,
        )
        for number, each in enumerate(settings.api_keys, 1)
    ]
    return keyed_provider(config_path.rpartition(".")[2], keys, time.monotonic)


def provider_options(
    config_path: str, settings: BackendSettings, available: Mapping[str, EntryPoint]
) -> Section:
    """The keys of one backend that only its provider has; otherwise like make_provider."""
    return _options(config_path, settings, _provider_class(config_path, settings, available).options)


def _provider_class(
    config_path: str, settings: BackendSettings, available: Mapping[str, EntryPoint]
) -> ProviderClass:
    point = available.get(settings.provider)
    if point is None:
        raise StartupError(
            f"{config_path}.provider: there is no provider {settings.provider}"
            + nearest_or_all(settings.provider, available)
        )
    return _load(point)


def _load(point: EntryPoint) -> ProviderClass:
    try:
        loaded: ProviderClass = point.load()
    except Exception as error:
        raise StartupError(
            f"The provider {point.name} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        ) from error
    return loaded


def _options(config_path: str, settings: BackendSettings, model: type[Section]) -> Section:
    for key in settings.provider_options:
        if key not in model.model_fields:
            known = [*model.model_fields, *BackendSettings.model_fields]
            raise StartupError(f"unknown key {config_path}.{key}{nearest_or_all(key, known)}")
    try:
        with relative_to(settings.config_folder):
            return model.model_validate(dict(settings.provider_options))
    except ValidationError as error:
        raise StartupError(section_errors(config_path, settings.provider_options, error)) from None
