"""A disk or a peer that fails: within seconds the services are not ready, and name the dependency.

What they answer meanwhile may be tried again, and works once the fault is over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from clawdbot.common.v1 import message_pb2
from clawdbot.dialogue.v1 import dialogue_service_pb2 as dialogue
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.model_gateway.v1 import generation_pb2
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot.plugins.v1 import tool_service_pb2
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub
from clawdbot_cli.settings import SuiteSettings
from clawdbot_cli.suite import running_suite
from clawdbot_servicekit.error_table import remote_error
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from tests.support.conditions import until
from tests.support.faults import deleted, full, locked, moved_away, small_disk
from tests.support.processes import process

pytestmark = pytest.mark.integration

NOTICED_WITHIN = 30.0
"""Seconds until a fault is seen by probes: 5 are promised, and a busy machine may need more."""
BACK_WITHIN = 60.0
"""Seconds until the end of a fault is: a locked store first ends the write that waits for it."""

GATEWAY = "clawdbot.model_gateway.v1.ModelGatewayService"
DIALOGUE = "clawdbot.dialogue.v1.DialogueService"


STORES = {
    "dialogue/sessions.db": ("dialogue", "session_store"),
    "plugins/ledger/calls.sqlite": ("plugins", "idempotency_store"),
    "plugins/rate_limiter/windows.sqlite": ("plugins", "plugin.rate_limiter"),
    "plugins/tables/bookings.sqlite": ("plugins", "plugin.tables"),
}


async def is_serving(channel, service=""):
    answer = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=20
    )
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def seconds_until(channel, serving, service=""):
    """Seconds until a probe sees it; fails after a while."""
    start = time.monotonic()

    async def seen():
        return await is_serving(channel, service) is serving

    await until(seen, BACK_WITHIN)
    return time.monotonic() - start


class Suite:
    """The suite in this process, and calls that each need a store."""

    def __init__(self, suite, channel):
        self.suite = suite
        self.channel = channel
        self.dialogue = DialogueServiceStub(channel)
        self._count = 0

    async def new_session(self):
        request = dialogue.CreateSessionRequest(flow="book_table")
        return (await self.dialogue.CreateSession(request, timeout=20)).session.id

    async def turn(self, session):
        request = dialogue.SendTurnRequest(session_id=session, text="a table for 4", request_id="turn-1")
        return await self.dialogue.SendTurn(request, timeout=20)

    async def generate(self):
        part = message_pb2.Part(text="Hello")
        message = message_pb2.Message(role=message_pb2.ROLE_USER, parts=[part])
        request = generation_pb2.GenerateRequest(messages=[message])
        return await ModelGatewayServiceStub(self.channel).Generate(request, timeout=20)

    async def reserve(self):
        request = tool_service_pb2.InvokeToolRequest(tool="tables.reserve", request_id="booking-1")
        request.arguments.update({"party_size": 2, "date": self.tomorrow, "time": "19:30"})
        return [each async for each in ToolServiceStub(self.channel).InvokeTool(request, timeout=20)]

    async def switch(self):
        request = admin.SwitchModelRequest(alias="chat", targets=[admin.Target(target="echo/echo")])
        return await ModelAdminServiceStub(self.channel).SwitchModel(request, timeout=20)

    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86_400))

    def dependency(self, application, name):
        labels = {"application": application, "dependency": name}
        return self.suite.host.metrics.registry.get_sample_value("clawdbot_dependency_ready", labels)


@asynccontextmanager
async def suite_in(state):
    settings = SuiteSettings.model_validate(
        {
            "server": {"port": 0},
            "telemetry": {"metrics_port": None},
            "state_dir": state,
            "model": {"provider": "echo"},
            "plugins": ["rate_limiter", "audit_log"],
        }
    )
    async with running_suite(settings) as suite, grpc.aio.insecure_channel(suite.address) as channel:
        yield Suite(suite, channel)


async def passing(call):
    """Awaits a call that must fail in a way that says: try again."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    error = remote_error(failed.value)
    assert error.code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"), error
    assert error.domain == "clawdbot.dev", error
    assert error.retry_after is not None, error
    return error


async def test_a_full_disk_passes(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        async with suite_in(disk) as suite:
            session = await suite.new_session()
            with capture_logs() as logs, full(disk):
                assert await seconds_until(suite.channel, serving=False) < NOTICED_WITHIN
                for service in (GATEWAY, DIALOGUE, "readiness"):
                    assert await seconds_until(suite.channel, serving=False, service=service) < NOTICED_WITHIN
                for call in (suite.turn(session), suite.generate(), suite.reserve(), suite.switch()):
                    await passing(call)
                await passing(suite.new_session())
                await until(
                    lambda: not any(suite.dependency(*each) for each in STORES.values()), NOTICED_WITHIN
                )
            named = {
                (line["application"], line["dependency"]) for line in logs if line["event"] == "not_ready"
            }
            assert set(STORES.values()) <= named
            await seconds_until(suite.channel, serving=True)
            assert (await suite.turn(session)).turn.input.parts[0].text == "a table for 4"
            await suite.generate()
            *_, booked = await suite.reserve()
            assert booked.result.structured["ok"] is True
            await suite.switch()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_full_disk_that_holds_the_log_passes_as_well(tmp_path, workers):
    environment = {
        "CLAWDBOT_MODEL__PROVIDER": "echo",
        "CLAWDBOT_PLUGINS": '["rate_limiter"]',
        "CLAWDBOT_SERVER__WORKERS": str(workers),
    }
    with small_disk(tmp_path / "disk", "16m") as disk:
        async with (
            process("clawdbot_cli", "up", state=disk, environment=environment) as running,
            grpc.aio.insecure_channel(running.address) as channel,
        ):
            suite = Suite(None, channel)
            session = await suite.new_session()
            with full(disk):
                assert await seconds_until(channel, serving=False) < NOTICED_WITHIN
                for call in (suite.turn(session), suite.generate(), suite.reserve(), suite.switch()):
                    await passing(call)
            await seconds_until(channel, serving=True)
            assert running.running
            await suite.turn(session)


@pytest.mark.parametrize("fault", [deleted, moved_away, locked], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("file", STORES)
async def test_a_store_that_fails_is_named_and_comes_back(tmp_path, file, fault):
    async with suite_in(tmp_path) as suite:
        await suite.new_session()
        with capture_logs() as logs, fault(tmp_path / file):
            assert await seconds_until(suite.channel, serving=False) < NOTICED_WITHIN
            assert suite.dependency(*STORES[file]) == 0
        lines = [line for line in logs if line["event"] == "not_ready"]
        assert (lines[0]["application"], lines[0]["dependency"]) == STORES[file]
        await seconds_until(suite.channel, serving=True)
        assert suite.dependency(*STORES[file]) == 1
        await suite.turn(await suite.new_session())
        *_, booked = await suite.reserve()
        assert booked.result.structured["ok"] is True


async def test_overrides_that_cannot_be_stored_are_noticed(tmp_path):
    async with suite_in(tmp_path) as suite:
        with moved_away(tmp_path / "model_gateway"):
            assert await seconds_until(suite.channel, serving=False, service=GATEWAY) < NOTICED_WITHIN
            assert suite.dependency("model_gateway", "alias_overrides") == 0
            await passing(suite.switch())
        await seconds_until(suite.channel, serving=True)
        await suite.switch()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
async def test_a_lost_plugin_service_is_noticed_by_both_others(tmp_path, number):
    async with process("clawdbot_plugins", state=tmp_path / "plugins") as plugins:
        peers = {"CLAWDBOT_PEERS__PLUGINS": plugins.address}
        async with process(
            "clawdbot_model_gateway", state=tmp_path / "gateway", environment=peers
        ) as gateway:
            peers["CLAWDBOT_PEERS__MODEL_GATEWAY"] = gateway.address
            async with (
                process("clawdbot_dialogue", state=tmp_path / "dialogue", environment=peers) as turns,
                grpc.aio.insecure_channel(gateway.address) as to_gateway,
                grpc.aio.insecure_channel(turns.address) as to_turns,
            ):
                os.kill(plugins.pid, number)
                noticed = await asyncio.gather(
                    seconds_until(to_gateway, serving=False), seconds_until(to_turns, serving=False)
                )
                assert max(noticed) < NOTICED_WITHIN
                for each in (gateway, turns):
                    assert '"dependency":"plugins"' in each.log.read_text().replace(" ", "")
                if number is signal.SIGSTOP:
                    os.kill(plugins.pid, signal.SIGCONT)
                    await asyncio.gather(
                        seconds_until(to_gateway, serving=True), seconds_until(to_turns, serving=True)
                    )
                else:
                    async with process("clawdbot_plugins", state=tmp_path / "plugins", port=plugins.port):
                        await asyncio.gather(
                            seconds_until(to_gateway, serving=True), seconds_until(to_turns, serving=True)
                        )
