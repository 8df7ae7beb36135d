"""The plugin service's settings: the shared sections and three of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from clawdbot_servicekit.settings import Bytes, Lifetime, Section, SharedSettings, Whole
from clawdbot_servicekit.settings.suite import PORTS
from clawdbot_servicekit.settings.values import MAX_COUNT
from pydantic import Field, field_validator

PluginConfig = Mapping[str, Any] | None
"""A plugin's settings as configured; None if it is disabled."""


class ToolsSettings(Section):
    """Limits that apply to every tool."""

    max_result: Annotated[Bytes, Field(ge=1024)] = 256 * 1024
    """Maximum size of one result, and of all partial output of one call."""
    remember: Annotated[Lifetime, Field(gt=0)] = 86_400.0
    """How long a once-only call is remembered by its request id."""
    remember_calls: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] = 100_000
    """Maximum number of remembered calls; the oldest are deleted first."""
    store: Literal["sqlite", "memory"] = "sqlite"
    """Where they are stored; memory is for one worker only and is lost when the process ends."""


class HooksSettings(Section):
    """Limits that apply to every hook."""

    queue: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1000
    """Maximum number of events that wait for one observer; more are dropped and counted."""


class PluginsSettings(SharedSettings):
    """The plugin service's settings."""

    default_port: ClassVar[int] = PORTS["plugins"]

    plugins: tuple[str | dict[str, dict[str, Any] | bool | None], ...] = ()
    """Enabled in addition to the defaults: a name, or `{name: {settings}}`; `{name: false}` disables it."""
    tools: ToolsSettings = ToolsSettings()
    hooks: HooksSettings = HooksSettings()

    @field_validator("plugins")
    @classmethod
    def _once_each(cls, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"the plugin {duplicates[0]} is listed twice; remove one")
        return entries

    def plugin_configs(self) -> dict[str, PluginConfig]:
        """Returns the configuration of each plugin in the list."""
        configs: dict[str, PluginConfig] = {}
        for entry in self.plugins:
            values = {entry: True} if isinstance(entry, str) else entry
            for name, value in values.items():
                configs[name] = None if value is False else value if isinstance(value, Mapping) else {}
        return configs
