"""Which plugins are installed, which of them are on, and with which settings.

Installed is what the entry-point group `clawdbot.plugins` names; nothing is imported that is not on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from clawdbot_plugin_sdk import Plugin
from clawdbot_servicekit.errors import StartupError
from pydantic import BaseModel, ValidationError

from clawdbot_plugins.settings import Choice

GROUP: Final = "clawdbot.plugins"

DEFAULT: Final = ("calculator", "clock", "tables")
"""On unless the settings say `{name: false}`: harmless tools, and what the shipped conversations call."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plugin that is on."""

    definition: Plugin
    settings: BaseModel | None


def installed() -> dict[str, EntryPoint]:
    """By name. StartupError where two packages bring one name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise StartupError(
                f"Two installed packages bring a plugin called {point.name}: {known.value} and "
                f"{point.value}. Uninstall one."
            )
    return found


def choose(choices: Mapping[str, Choice], available: Mapping[str, EntryPoint]) -> list[Chosen]:
    """The plugins that are on, loaded, with their settings checked.

    Args:
        choices: what the configuration says.
        available: what is installed.

    Raises:
        StartupError: for an unknown name, a plugin that cannot be loaded, and each wrong setting.
    """
    on: dict[str, Choice] = {name: {} for name in DEFAULT if name in available}
    on |= choices
    for name in on:
        if name not in available:
            raise StartupError(f"plugins: there is no plugin {name}{_nearest(name, available)}")
    return [_chosen(available[name], said) for name, said in on.items() if said is not None]


def _chosen(point: EntryPoint, said: Mapping[str, Any]) -> Chosen:
    definition = _load(point)
    if definition.name != point.name:
        raise StartupError(
            f"The plugin {definition.name} is installed as {point.name}; the two must be equal."
        )
    return Chosen(definition, _settings(definition, said))


def _load(point: EntryPoint) -> Plugin:
    try:
        found = point.load()
        plugin = found if isinstance(found, Plugin) else found()
    except Exception as error:
        raise StartupError(
            f"The plugin {point.name} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(plugin, Plugin):
        raise StartupError(
            f"The plugin {point.name}: {point.value} is neither a Plugin nor a function that returns one."
        )
    return plugin


def _settings(definition: Plugin, said: Mapping[str, Any]) -> BaseModel | None:
    model = definition.settings
    if model is None:
        if said:
            raise StartupError(f"plugins: {definition.name} has no settings.")
        return None
    known = [field.alias or name for name, field in model.model_fields.items()]
    for key in said:
        if key not in known:
            raise StartupError(f"plugins: unknown key {definition.name}.{key}{_nearest(key, known)}")
    try:
        return model.model_validate(dict(said))
    except ValidationError as error:
        # Never the value: it may be a secret.
        lines = [
            f"plugins: {'.'.join(map(str, (definition.name, *each['loc'])))}: {each['msg']}."
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise StartupError("\n".join(lines)) from None


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}."
