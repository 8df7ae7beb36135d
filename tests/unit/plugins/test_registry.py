"""The current snapshot of plugins, and the watchers of the next ones."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from clawdbot.plugins.v1.plugin_service_pb2 import PLUGIN_RUNTIME_BUILTIN, PLUGIN_STATE_READY
from clawdbot_plugins.core.errors import PluginNotFound, ToolNotFound
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.registry_snapshot import (
    RegisteredHook,
    RegisteredPlugin,
    RegisteredTool,
    RegistrySnapshot,
)
from clawdbot_plugins.core.schemas import Schema
from clawdbot_servicekit.errors import NotReady


async def nothing(*_):
    raise AssertionError("not run here")


def tool(plugin: str, name: str) -> RegisteredTool:
    return RegisteredTool(
        f"{plugin}.{name}",
        plugin=plugin,
        description="",
        effect="none",
        timeout=1,
        max_in_flight=1,
        recognises_repeats=False,
        input_schema=Schema({}),
        output_schema=None,
        run=nothing,
    )


def hook(plugin: str, priority: int = 100) -> RegisteredHook:
    return RegisteredHook(
        plugin, "gate", "before_turn", priority, timeout=1, fails_closed=True, max_in_flight=1, run=nothing
    )


def plugin(name: str, *tools: str, hooks: tuple[RegisteredHook, ...] = ()) -> RegisteredPlugin:
    return RegisteredPlugin(
        name,
        "1.0",
        "",
        PLUGIN_RUNTIME_BUILTIN,
        PLUGIN_STATE_READY,
        start_time=0,
        tools=tuple(tool(name, each) for each in tools),
        hooks=hooks,
    )


SNAPSHOT = RegistrySnapshot.from_plugins(1, [plugin("tables", "reserve", "find"), plugin("clock", "now")])


def test_plugins_and_tools_are_sorted_by_name():
    assert list(SNAPSHOT.plugins) == ["clock", "tables"]
    assert list(SNAPSHOT.tools) == ["clock.now", "tables.find", "tables.reserve"]
    assert list(SNAPSHOT.tools_of("tables")) == ["tables.find", "tables.reserve"]


@pytest.mark.parametrize(
    ("name", "kind", "hint"),
    [
        ("tables.resrve", ToolNotFound, "tables.reserve"),
        ("reserve", ToolNotFound, "tables.reserve"),
        ("tabels.reserve", PluginNotFound, "tables"),
        ("clock.", ToolNotFound, "clock.now"),
    ],
)
def test_an_unknown_tool_raises_with_the_nearest_name(name, kind, hint):
    with pytest.raises(kind) as caught:
        SNAPSHOT.tool(name)
    assert caught.value.hint == f" Did you mean {hint}?"


def test_without_a_near_name_there_is_no_hint():
    with pytest.raises(ToolNotFound) as caught:
        SNAPSHOT.tool("x" * 100_000)
    assert caught.value.hint == ""


def test_hooks_run_by_priority_and_then_by_plugin():
    hooks = {name: hook(name, priority) for name, priority in {"c": 50, "a": 100, "b": 100}.items()}
    snapshot = RegistrySnapshot.from_plugins(1, [plugin(name, hooks=(each,)) for name, each in hooks.items()])
    assert [each.plugin for each in snapshot.hooks["gate", "before_turn"]] == ["c", "a", "b"]


def test_two_plugins_cannot_have_the_same_name():
    with pytest.raises(ValueError, match="the same name"):
        RegistrySnapshot.from_plugins(1, [plugin("a"), plugin("a")])


def test_before_the_first_snapshot_the_registry_is_not_ready():
    """An empty registry would skip every gate."""
    with pytest.raises(NotReady):
        _ = Registry().snapshot


async def test_a_watch_yields_the_current_snapshot_and_then_each_change():
    registry = Registry()
    async with aclosing(registry.watch()) as watch:
        first = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        registry.publish([plugin("a")])
        assert list((await first).plugins) == ["a"]
        registry.publish([plugin("a"), plugin("b")])
        second = await anext(watch)
        assert list(second.plugins) == ["a", "b"]
        assert second.revision == 2


async def test_a_slow_watcher_skips_superseded_snapshots_but_not_the_last():
    registry = Registry()
    registry.publish([])
    async with aclosing(registry.watch()) as watch:
        await anext(watch)
        for name in "abc":
            registry.publish([plugin(name)])
        assert list((await anext(watch)).plugins) == ["c"]


async def test_closing_ends_every_watch():
    registry = Registry()
    registry.publish([])

    async def revisions():
        return [snapshot.revision async for snapshot in registry.watch()]

    watching = asyncio.create_task(revisions())
    await asyncio.sleep(0)
    registry.close()
    assert await watching == [1]
