"""What there is: plugins with their tools and hooks, as one immutable snapshot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from clawdbot.plugins.v1.plugin_service_pb2 import PluginRuntime, PluginState
from clawdbot_plugin_sdk import Context, Effect, HookKind, ToolReturn

from clawdbot_plugins.core.errors import PluginNotFound, ToolNotFound
from clawdbot_plugins.core.schemas import Schema


@dataclass(frozen=True, eq=False, slots=True)
class Tool:
    """A tool that can be invoked, wherever its code runs."""

    name: str
    """Full: "tables.reserve"."""
    plugin: str
    description: str
    effect: Effect
    timeout: float
    """Seconds."""
    max_in_flight: int
    recognises_repeats: bool
    input: Schema
    output: Schema | None
    run: Callable[[Mapping[str, Any], Context], Awaitable[ToolReturn]]
    """Runs it with checked arguments. MUST end soon after it is cancelled."""


@dataclass(frozen=True, eq=False, slots=True)
class Hook:
    """A hook that can be run, wherever its code runs."""

    plugin: str
    kind: HookKind
    point: str
    priority: int
    timeout: float
    """Seconds."""
    closed: bool
    """Whether its failure is a refusal."""
    max_in_flight: int
    run: Callable[..., Awaitable[Any]]
    """Takes what the SDK says for the kind, the Context last."""


@dataclass(frozen=True, eq=False, slots=True)
class Plugin:
    """One plugin."""

    name: str
    version: str
    description: str
    runtime: PluginRuntime.ValueType
    state: PluginState.ValueType
    start_time: float
    """Seconds since 1970."""
    tools: tuple[Tool, ...] = ()
    hooks: tuple[Hook, ...] = ()


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The whole registry at one moment."""

    revision: int
    """Grows with every change."""
    plugins: Mapping[str, Plugin] = field(default_factory=dict)
    """By name, in the order of names."""

    @classmethod
    def of(cls, revision: int, plugins: Iterable[Plugin]) -> Snapshot:
        """A snapshot of these plugins. ValueError where two bear one name."""
        ordered = sorted(plugins, key=lambda each: each.name)
        named = {each.name: each for each in ordered}
        if len(named) < len(ordered):
            raise ValueError("two plugins bear one name")
        return cls(revision, named)

    @cached_property
    def tools(self) -> Mapping[str, Tool]:
        """By full name, in the order of names."""
        found = (tool for plugin in self.plugins.values() for tool in plugin.tools)
        return {tool.name: tool for tool in sorted(found, key=lambda each: each.name)}

    @cached_property
    def hooks(self) -> Mapping[tuple[HookKind, str], tuple[Hook, ...]]:
        """By kind and point, in the order in which they run: by priority, then by plugin."""
        found: dict[tuple[HookKind, str], list[Hook]] = {}
        for plugin in self.plugins.values():
            for hook in plugin.hooks:
                found.setdefault((hook.kind, hook.point), []).append(hook)
        return {place: tuple(sorted(each, key=lambda hook: hook.priority)) for place, each in found.items()}

    def plugin(self, name: str) -> Plugin:
        """The plugin of that name. PluginNotFound where there is none."""
        try:
            return self.plugins[name]
        except KeyError:
            raise PluginNotFound(name, self.plugins) from None

    def tools_of(self, plugin: str) -> Mapping[str, Tool]:
        """The tools of one plugin, or of all where the name is empty. PluginNotFound for an unknown name."""
        if not plugin:
            return self.tools
        wanted = self.plugin(plugin).name
        return {name: tool for name, tool in self.tools.items() if tool.plugin == wanted}

    def tool(self, name: str) -> Tool:
        """The tool of that full name.

        Raises:
            PluginNotFound: when it is the plugin that is not there.
            ToolNotFound: otherwise.
        """
        try:
            return self.tools[name]
        except KeyError:
            plugin, dot, _ = name.partition(".")
            if dot:
                self.plugin(plugin)
            raise ToolNotFound(name, self.tools) from None
