"""A plugin's lifespan in the service's process."""

from __future__ import annotations

import asyncio
import stat

import pytest
from clawdbot_plugin_sdk import Context, LifespanContext, Plugin
from clawdbot_plugins.runtimes import builtin
from clawdbot_plugins.runtimes.builtin import BuiltinPlugin
from clawdbot_servicekit.errors import NotReady, StartupError
from structlog.testing import capture_logs

from tests.support.plugin_core import core_of


def living(before=None, after=None, inside=None):
    """A plugin whose lifespan runs these functions, and the list of steps it has gone through."""
    plugin, steps = Plugin("living", version="1.0.0"), []

    @plugin.lifespan
    async def lifespan(ctx):
        steps.append("started")
        if before is not None:
            await before(ctx)
        async with asyncio.TaskGroup() as group:
            if inside is not None:
                group.create_task(inside())
            yield {"context": ctx}
            if after is not None:
                await after()
        steps.append("ended")

    @plugin.tool()
    async def folder(ctx: Context) -> str:
        """Return the folder."""
        return str(ctx.state["context"].folder)

    return plugin, steps


async def test_the_tools_get_the_lifespans_state(tmp_path):
    plugin, steps = living()
    async with core_of(tmp_path, plugin) as core:
        assert (await core.outcome("living.folder")).text == str(tmp_path / "living")
        assert steps == ["started"]
    assert steps == ["started", "ended"]


async def test_a_plugins_folder_exists_and_is_closed_to_other_users(tmp_path):
    async with core_of(tmp_path, living()[0]):
        assert stat.S_IMODE((tmp_path / "living").stat().st_mode) == 0o700


async def test_a_plugin_that_cannot_start_says_why(tmp_path):
    async def refuse(ctx):
        raise ValueError("the key is missing")

    running = BuiltinPlugin(living(refuse)[0], LifespanContext(folder=tmp_path))
    with capture_logs(), pytest.raises(StartupError, match="living cannot start: the key is missing"):
        await running.start()
    await running.stop()


async def test_a_plugin_that_exceeds_the_start_timeout_is_cancelled(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "START_TIMEOUT", 0.05)

    async def hang(ctx):
        await asyncio.Event().wait()

    running = BuiltinPlugin(living(hang)[0], LifespanContext(folder=tmp_path))
    with pytest.raises(StartupError, match="did not start within"):
        await running.start()


async def test_a_plugin_that_exceeds_the_stop_timeout_is_cancelled(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "STOP_TIMEOUT", 0.05)

    async def hang():
        await asyncio.Event().wait()

    running = BuiltinPlugin(living(after=hang)[0], LifespanContext(folder=tmp_path))
    await running.start()
    with capture_logs() as logs:
        await running.stop()
        await running.stop()
    assert [line["event"] for line in logs] == ["plugin_did_not_stop"]


async def test_a_plugin_that_fails_while_it_stops_is_logged(tmp_path):
    async def fail():
        raise RuntimeError("broken")

    running = BuiltinPlugin(living(after=fail)[0], LifespanContext(folder=tmp_path))
    await running.start()
    with capture_logs() as logs:
        await running.stop()
    assert [line["event"] for line in logs] == ["plugin_failed_when_stopped"]


async def test_a_plugin_whose_lifespan_ends_early_makes_the_service_unready(tmp_path):
    failed = asyncio.Event()

    async def fail():
        await failed.wait()
        raise RuntimeError("broken")

    running = BuiltinPlugin(living(inside=fail)[0], LifespanContext(folder=tmp_path))
    await running.start()
    await running.check()
    failed.set()
    await asyncio.wait((running._lifespan_task,))
    with pytest.raises(NotReady, match="living"):
        await running.check()
    with capture_logs():
        await running.stop()


async def test_a_folder_that_cannot_be_created_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("in the way")
    running = BuiltinPlugin(
        Plugin("quiet", version="1.0.0"), LifespanContext(folder=tmp_path / "file" / "quiet")
    )
    with pytest.raises(StartupError, match="Set state_dir"):
        await running.start()
