"""Finds the installed plugins, and loads those that are enabled with their settings.

The entry-point group `clawdbot.plugins` names the installed plugins. A disabled plugin is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from clawdbot_plugin_sdk import Plugin
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.suggestions import nearest_or_all
from clawdbot_servicekit.validation_words import section_errors
from pydantic import BaseModel, ValidationError

from clawdbot_plugins.settings import PluginConfig

ENTRY_POINT_GROUP: Final = "clawdbot.plugins"

DEFAULT_PLUGINS: Final = ("calculator", "clock", "tables")
"""Enabled unless the settings say `{name: false}`: harmless tools, and those that the shipped flows call."""


@dataclass(frozen=True, slots=True)
class EnabledPlugin:
    """A plugin that is enabled, with its validated settings."""

    definition: Plugin
    settings: BaseModel | None


def installed_plugins() -> dict[str, EntryPoint]:
    """Returns the installed plugins by name. StartupError if two packages provide the same name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise StartupError(
                f"Two installed packages provide a plugin called {point.name}: {known.value} and "
                f"{point.value}. Uninstall one."
            )
    return found


def load_enabled_plugins(
    configured: Mapping[str, PluginConfig], available: Mapping[str, EntryPoint]
) -> list[EnabledPlugin]:
    """Loads the enabled plugins and validates their settings.

    Args:
        configured: the configuration, by plugin name.
        available: the installed plugins.

    Raises:
        StartupError: for an unknown name, a plugin that cannot be loaded, or invalid settings.
    """
    configs: dict[str, PluginConfig] = {name: {} for name in DEFAULT_PLUGINS if name in available}
    configs |= configured
    for name in configs:
        if name not in available:
            raise StartupError(f"plugins: there is no plugin {name}{nearest_or_all(name, available)}")
    return [_load_plugin(available[name], config) for name, config in configs.items() if config is not None]


def _load_plugin(point: EntryPoint, config: Mapping[str, Any]) -> EnabledPlugin:
    definition = _load_definition(point)
    if definition.name != point.name:
        raise StartupError(
            f"The plugin {definition.name} has the entry point {point.name}; the two names must be equal."
        )
    return EnabledPlugin(definition, _settings(definition, config))


def _load_definition(point: EntryPoint) -> Plugin:
    try:
        loaded = point.load()
        plugin = loaded if isinstance(loaded, Plugin) else loaded()
    except Exception as error:
        raise StartupError(
            f"The plugin {point.name} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(plugin, Plugin):
        raise StartupError(
            f"The plugin {point.name}: {point.value} must be a Plugin or a function that returns one."
        )
    return plugin


def _settings(definition: Plugin, config: Mapping[str, Any]) -> BaseModel | None:
    model = definition.settings
    if model is None:
        if config:
            raise StartupError(f"plugins: {definition.name} has no settings. Remove them.")
        return None
    known = [field.alias or name for name, field in model.model_fields.items()]
    for key in config:
        if key not in known:
            raise StartupError(f"plugins: unknown key {definition.name}.{key}{nearest_or_all(key, known)}")
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        lines = section_errors(definition.name, config, error).splitlines()
        raise StartupError("\n".join(f"plugins: {line}" for line in lines)) from None
