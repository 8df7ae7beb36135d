"""Which providers are installed, and how a backend of one is made from its configuration.

Installed is what the entry-point group `clawdbot.providers` names; nothing is imported that no backend uses.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Final, Protocol

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import Section
from clawdbot_servicekit.settings.values import relative_to
from pydantic import ValidationError

from clawdbot_model_gateway.core.provider import Provider
from clawdbot_model_gateway.settings import BackendSettings

GROUP: Final = "clawdbot.providers"


class ProviderClass(Protocol):
    """What an entry point of the group names."""

    options: ClassVar[type[Section]]
    """The keys of a backend that only this provider knows."""

    def __call__(self, settings: BackendSettings, options: Any) -> Provider:
        """A provider for one backend; raises StartupError for what an operator can mend."""


def installed() -> dict[str, EntryPoint]:
    """By name. StartupError where two packages bring one name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise StartupError(
                f"Two installed packages bring a provider called {point.name}: {known.value} and "
                f"{point.value}. Uninstall one."
            )
    return found


def make_provider(place: str, settings: BackendSettings, available: Mapping[str, EntryPoint]) -> Provider:
    """The provider of one backend.

    Args:
        place: where the configuration speaks of it: "model", "models.backends.vllm".
        settings: what it says.
        available: what is installed.

    Raises:
        StartupError: for an unknown provider, one that cannot be loaded, and each wrong key.
    """
    point = available.get(settings.provider)
    if point is None:
        raise StartupError(
            f"{place}.provider: there is no provider {settings.provider}"
            + nearest(settings.provider, available)
        )
    provider = _load(point)
    return provider(settings, _options(place, settings, provider.options))


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}."


def _load(point: EntryPoint) -> ProviderClass:
    try:
        loaded: ProviderClass = point.load()
    except Exception as error:
        raise StartupError(
            f"The provider {point.name} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        ) from error
    return loaded


def _options(place: str, settings: BackendSettings, model: type[Section]) -> Section:
    for key in settings.own:
        if key not in model.model_fields:
            known = [*model.model_fields, *BackendSettings.model_fields]
            raise StartupError(f"unknown key {place}.{key}{nearest(key, known)}")
    try:
        with relative_to(settings.folder):
            return model.model_validate(dict(settings.own))
    except ValidationError as error:
        # Never the value: it may be a secret.
        lines = [
            f"{'.'.join((place, *map(str, each['loc'])))}: {each['msg'].removeprefix('Value error, ')}."
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise StartupError("\n".join(lines)) from None
