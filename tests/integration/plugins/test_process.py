"""The plugin service as a process of its own: alone, with workers, killed and started again."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
import pytest
from clawdbot.plugins.v1 import plugin_service_pb2 as plugin_wire
from clawdbot_plugins.builtin.audit_log import Verified, verify
from clawdbot_plugins.settings import PluginsSettings

from tests.support.foreign import run
from tests.support.outside_plugin import install
from tests.support.plugin_service import Client
from tests.support.processes import process

pytestmark = pytest.mark.integration

NEXT_WEEK = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=7)
BOOKING = {"party_size": 4, "date": NEXT_WEEK.isoformat(), "time": "19:00"}


def configured(folder: Path, text: str) -> tuple[str, ...]:
    """The command of a service with this configuration."""
    path = folder / "clawdbot.yaml"
    path.write_text(text)
    return ("clawdbot_plugins", "--config", str(path))


async def clients(stack: AsyncExitStack, address: str, count: int) -> list[Client]:
    """So many callers with a connection each, so that several workers get some."""
    made = []
    for number in range(count):
        # A channel argument of its own keeps gRPC from sharing the connection.
        options = (("grpc.use_local_subchannel_pool", 1), ("test.number", number))
        made.append(Client(await stack.enter_async_context(grpc.aio.insecure_channel(address, options))))
    return made


async def test_it_starts_alone(tmp_path):
    assert PluginsSettings().server.port == 8083
    async with (
        process("clawdbot_plugins", state=tmp_path) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        client = Client(channel)
        answer = await client.plugins.ListPlugins(plugin_wire.ListPluginsRequest())
        assert [each.name for each in answer.plugins] == ["calculator", "clock", "tables"]
        assert (await client.structured("calculator.evaluate", expression="6 * 7"))["value"] == 42
        assert await service.stop() == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("plugins: [rate_limitter]", "plugins: there is no plugin rate_limitter; did you mean rate_limiter?"),
        ("plugins: [{rate_limiter: {turns: many}}]", "plugins: rate_limiter.turns: "),
        ("plugins: [{rate_limiter: {turn: 1/minute}}]", "unknown key rate_limiter.turn; did you mean turns?"),
    ],
)
async def test_a_mistake_in_the_configuration_ends_it_with_one_sentence(tmp_path, text, sentence):
    command = configured(tmp_path, f"state_dir: {tmp_path / 'state'}\nserver: {{port: 0}}\n{text}\n")
    code, output, errors = await run(sys.executable, "-m", *command)
    assert code == 2
    assert sentence in errors
    assert "Traceback" not in output + errors


async def test_workers_grant_together_what_the_limit_allows(tmp_path):
    command = configured(tmp_path, "server: {workers: 3}\nplugins: [{rate_limiter: {turns: 25/hour}}]")
    async with process(*command, state=tmp_path / "state") as service, AsyncExitStack() as stack:
        callers = await clients(stack, service.address, 12)
        answers = await asyncio.gather(*(caller.gate("before_turn") for _ in range(5) for caller in callers))
    assert [each.allowed for each in answers].count(True) == 25
    assert {each.reason for each in answers} == {"", "RATE_LIMITED"}


async def test_workers_give_the_last_table_away_once_and_keep_one_audit_chain(tmp_path):
    command = configured(tmp_path, "server: {workers: 3}\nplugins: [audit_log, {tables: {tables: [4]}}]")
    async with process(*command, state=tmp_path / "state") as service, AsyncExitStack() as stack:
        callers = await clients(stack, service.address, 10)
        told = await asyncio.gather(
            *(
                caller.structured("tables.reserve", f"r-{number % 15}", **BOOKING)
                for number, caller in enumerate(callers * 3)
            )
        )
        assert await service.stop() == 0
    assert len({each["ref"] for each in told if each["ok"]}) == 1
    # Two calls bear each id; both of the winner's get the one reference.
    assert [each["ok"] for each in told].count(True) == 2
    folder = tmp_path / "state" / "plugins" / "audit_log"
    found = verify(folder)
    assert isinstance(found, Verified), found
    assert found.lines == 30
    logged = [json.loads(line) for line in (service.log).read_text().splitlines() if '"audit_head"' in line]
    assert found.head.hash in {each["hash"] for each in logged}


async def test_a_plugin_that_somebody_installed_is_found_by_its_entry_point(tmp_path):
    command = configured(tmp_path, "plugins: [{till: {book: sales.txt}}]")
    environment = install(tmp_path / "site")
    async with (
        process(*command, state=tmp_path / "state", environment=environment) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        assert (await Client(channel).structured("till.take", amount=5)) == {"result": 5}
    assert (tmp_path / "state" / "plugins" / "till" / "sales.txt").read_text() == "5\n"


async def test_after_a_kill_a_finished_call_is_answered_again_and_a_broken_one_is_not_run_again(tmp_path):
    command = configured(tmp_path, "plugins: [till]")
    environment = install(tmp_path / "site")
    state = tmp_path / "state"
    async with (
        process(*command, state=state, environment=environment) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        client = Client(channel)
        await client.structured("till.take", "done", amount=5)
        call = client.call("till.take", "broken", amount=7, stay=True)
        assert (await call.read()).progress.message == "written down"
        await service.kill()
    async with (
        process(*command, state=state, environment=environment) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        client = Client(channel)
        assert await client.structured("till.take", "done", amount=5) == {"result": 5}
        fault = await client.fault("till.take", "broken", amount=7, stay=True)
        assert (fault.code, fault.reason) == ("ABORTED", "TOOL_OUTCOME_UNKNOWN")
    assert (state / "plugins" / "till" / "book.txt").read_text() == "5\n7\n"


async def test_after_a_kill_bookings_and_the_audit_chain_are_whole(tmp_path):
    command = configured(tmp_path, "plugins: [audit_log, {tables: {tables: [4]}}]")
    state = tmp_path / "state"
    async with (
        process(*command, state=state) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        first = await Client(channel).structured("tables.reserve", "r-1", **BOOKING)
        await service.kill()
    async with (
        process(*command, state=state) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        client = Client(channel)
        assert (await client.structured("tables.reserve", "r-1", **BOOKING))["ref"] == first["ref"]
        assert (await client.structured("tables.reserve", "r-2", **BOOKING))["reason"] == "taken"
    assert isinstance(verify(state / "plugins" / "audit_log"), Verified)
