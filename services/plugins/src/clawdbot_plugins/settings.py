"""What the plugin service is told: the shared sections and its own three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from clawdbot_servicekit.settings import Bytes, Seconds, Section, SharedSettings
from clawdbot_servicekit.settings.suite import PORTS
from pydantic import Field, field_validator

Choice = Mapping[str, Any] | None
"""A plugin's settings; None: off."""


class ToolsSettings(Section):
    """Limits of every tool."""

    max_result: Annotated[Bytes, Field(ge=1024)] = 256 * 1024
    """Largest result, and all partial output of one call."""
    remember: Annotated[Seconds, Field(gt=0)] = 86_400.0
    """How long a call of a once-only tool is remembered by its request id."""
    remember_calls: Annotated[int, Field(ge=1)] = 100_000
    """How many such calls are remembered at most; the oldest are forgotten first."""
    store: Literal["sqlite", "memory"] = "sqlite"
    """Where they are remembered; memory forgets them with the process, and is for one worker only."""


class HooksSettings(Section):
    """Limits of every hook."""

    queue: Annotated[int, Field(ge=1)] = 1000
    """Events waiting for one observer; more are dropped and counted."""


class PluginsSettings(SharedSettings):
    """The plugin service's settings."""

    default_port: ClassVar[int] = PORTS["plugins"]

    plugins: tuple[str | dict[str, dict[str, Any] | bool | None], ...] = ()
    """On besides the default ones: a name, or `{name: {its settings}}`; `{name: false}` is off."""
    tools: ToolsSettings = ToolsSettings()
    hooks: HooksSettings = HooksSettings()

    @field_validator("plugins")
    @classmethod
    def _once_each(cls, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the plugin {twice[0]} is listed twice; keep one")
        return entries

    def choices(self) -> dict[str, Choice]:
        """What the list says of each plugin that is in it."""
        said: dict[str, Choice] = {}
        for entry in self.plugins:
            named = {entry: True} if isinstance(entry, str) else entry
            for name, value in named.items():
                said[name] = None if value is False else value if isinstance(value, Mapping) else {}
        return said
