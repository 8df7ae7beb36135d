"""The plugins with their tools and hooks, as one immutable snapshot."""

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
class RegisteredTool:
    """A tool that can be invoked, wherever its code runs."""

    name: str
    """Full name, such as "tables.reserve"."""
    plugin: str
    description: str
    effect: Effect
    timeout: float
    """Seconds."""
    max_in_flight: int
    recognises_repeats: bool
    input_schema: Schema
    output_schema: Schema | None
    run: Callable[[Mapping[str, Any], Context], Awaitable[ToolReturn]]
    """Runs the tool with validated arguments. MUST end soon after it is cancelled."""


@dataclass(frozen=True, eq=False, slots=True)
class RegisteredHook:
    """A hook that can be run, wherever its code runs."""

    plugin: str
    kind: HookKind
    point: str
    priority: int
    timeout: float
    """Seconds."""
    fails_closed: bool
    """Whether a failure of the hook is a refusal."""
    max_in_flight: int
    run: Callable[..., Awaitable[Any]]
    """Takes the parameters that the SDK defines for the kind; the Context is the last one."""


@dataclass(frozen=True, eq=False, slots=True)
class RegisteredPlugin:
    """One plugin."""

    name: str
    version: str
    description: str
    runtime: PluginRuntime.ValueType
    state: PluginState.ValueType
    start_time: float
    """Seconds since 1970."""
    tools: tuple[RegisteredTool, ...] = ()
    hooks: tuple[RegisteredHook, ...] = ()


@dataclass(frozen=True, eq=False)
class RegistrySnapshot:
    """The whole registry at one moment."""

    revision: int
    """Grows with every change."""
    plugins: Mapping[str, RegisteredPlugin] = field(default_factory=dict)
    """By name, sorted by name."""

    @classmethod
    def from_plugins(cls, revision: int, plugins: Iterable[RegisteredPlugin]) -> RegistrySnapshot:
        """Returns a snapshot of the plugins. ValueError if two have the same name."""
        ordered = sorted(plugins, key=lambda each: each.name)
        by_name = {each.name: each for each in ordered}
        if len(by_name) < len(ordered):
            raise ValueError("two plugins have the same name")
        return cls(revision, by_name)

    @cached_property
    def tools(self) -> Mapping[str, RegisteredTool]:
        """By full name, sorted by name."""
        tools = (tool for plugin in self.plugins.values() for tool in plugin.tools)
        return {tool.name: tool for tool in sorted(tools, key=lambda each: each.name)}

    @cached_property
    def hooks(self) -> Mapping[tuple[HookKind, str], tuple[RegisteredHook, ...]]:
        """By kind and point, each in the order in which they run: by priority, then by plugin."""
        hooks: dict[tuple[HookKind, str], list[RegisteredHook]] = {}
        for plugin in self.plugins.values():
            for hook in plugin.hooks:
                hooks.setdefault((hook.kind, hook.point), []).append(hook)
        return {key: tuple(sorted(group, key=lambda hook: hook.priority)) for key, group in hooks.items()}

    def plugin(self, name: str) -> RegisteredPlugin:
        """Returns a plugin by name. PluginNotFound if there is none."""
        try:
            return self.plugins[name]
        except KeyError:
            raise PluginNotFound(name, self.plugins) from None

    def tools_of(self, plugin: str) -> Mapping[str, RegisteredTool]:
        """Returns one plugin's tools, or all tools if the name is empty. PluginNotFound if it is unknown."""
        if not plugin:
            return self.tools
        owner = self.plugin(plugin).name
        return {name: tool for name, tool in self.tools.items() if tool.plugin == owner}

    def tool(self, name: str) -> RegisteredTool:
        """Returns a tool by full name.

        Raises:
            PluginNotFound: there is no plugin of the name before the dot.
            ToolNotFound: the plugin exists, but not the tool.
        """
        try:
            return self.tools[name]
        except KeyError:
            plugin, dot, _ = name.partition(".")
            if dot:
                self.plugin(plugin)
            raise ToolNotFound(name, self.tools) from None
