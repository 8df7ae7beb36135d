"""A plugin's own check decides whether the service is ready."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugin_sdk import Plugin, Unavailable
from structlog.testing import capture_logs

from tests.support.conditions import until
from tests.support.plugin_service import serving

SERVICE = "clawdbot.plugins.v1.ToolService"


@pytest.mark.parametrize("failure", [Unavailable("its disk is full"), RuntimeError("a bug"), "hangs"])
async def test_a_plugin_that_cannot_work_makes_the_service_unready_until_it_can(tmp_path, failure):
    plugin = Plugin("trial", version="1.0.0")
    failing = []

    @plugin.lifespan
    async def lifespan(ctx):
        yield "the state"

    @plugin.check
    async def check(state):
        assert state == "the state"
        if failing == ["hangs"]:
            await asyncio.Event().wait()
        elif failing:
            raise failing[0]

    async with serving(tmp_path, plugin) as served:
        health = served.host.health
        assert health.is_serving(SERVICE)
        with capture_logs() as logs:
            failing.append(failure)
            await until(lambda: not health.is_serving(SERVICE))
            failing.clear()
            await until(lambda: health.is_serving(SERVICE))
    lost, back = logs[0], logs[1]
    assert (lost["event"], lost["dependency"]) == ("not_ready", "plugin.trial")
    assert (back["event"], back["dependency"]) == ("ready_again", "plugin.trial")


def test_a_check_is_one_coroutine_function():
    plugin = Plugin("trial", version="1.0.0")
    with pytest.raises(TypeError, match="async def check"):
        plugin.check(lambda state: None)

    @plugin.check
    async def check(state):
        """Nothing fails."""

    with pytest.raises(TypeError, match="two checks"):
        plugin.check(check)
