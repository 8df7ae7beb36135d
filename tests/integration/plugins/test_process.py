"""The plugin service as its own process: alone, with workers, killed and restarted."""

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
    """Writes the configuration and returns the command of a service that uses it."""
    path = folder / "clawdbot.yaml"
    path.write_text(text)
    return ("clawdbot_plugins", "--config", str(path))


async def clients(stack: AsyncExitStack, address: str, count: int) -> list[Client]:
    """Clients with a connection each, so that several workers get some of the calls."""
    result = []
    for number in range(count):
        # A different channel argument keeps gRPC from sharing the connection.
        options = (("grpc.use_local_subchannel_pool", 1), ("test.number", number))
        result.append(Client(await stack.enter_async_context(grpc.aio.insecure_channel(address, options))))
    return result


async def test_it_starts_on_its_own(tmp_path):
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


async def test_workers_share_one_rate_limit(tmp_path):
    command = configured(tmp_path, "server: {workers: 3}\nplugins: [{rate_limiter: {turns: 25/hour}}]")
    async with process(*command, state=tmp_path / "state") as service, AsyncExitStack() as stack:
        connected = await clients(stack, service.address, 12)
        answers = await asyncio.gather(
            *(client.gate("before_turn") for _ in range(5) for client in connected)
        )
    assert [each.allowed for each in answers].count(True) == 25
    assert {each.reason for each in answers} == {"", "RATE_LIMITED"}


async def test_workers_reserve_the_last_table_once_and_keep_one_audit_chain(tmp_path):
    command = configured(tmp_path, "server: {workers: 3}\nplugins: [audit_log, {tables: {tables: [4]}}]")
    async with process(*command, state=tmp_path / "state") as service, AsyncExitStack() as stack:
        connected = await clients(stack, service.address, 10)
        results = await asyncio.gather(
            *(
                client.structured("tables.reserve", f"r-{number % 15}", **BOOKING)
                for number, client in enumerate(connected * 3)
            )
        )
        assert await service.stop() == 0
    assert len({each["ref"] for each in results if each["ok"]}) == 1
    # Two calls have the same id; both calls of the winner get the one reference.
    assert [each["ok"] for each in results].count(True) == 2
    folder = tmp_path / "state" / "plugins" / "audit_log"
    found = verify(folder)
    assert isinstance(found, Verified), found
    assert found.lines == 30
    logged = [json.loads(line) for line in (service.log).read_text().splitlines() if '"audit_head"' in line]
    assert found.head.hash in {each["hash"] for each in logged}


async def test_an_installed_plugin_is_found_by_its_entry_point(tmp_path):
    command = configured(tmp_path, "plugins: [{till: {book: sales.txt}}]")
    environment = install(tmp_path / "site")
    async with (
        process(*command, state=tmp_path / "state", environment=environment) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        assert (await Client(channel).structured("till.take", amount=5)) == {"result": 5}
    assert (tmp_path / "state" / "plugins" / "till" / "sales.txt").read_text() == "5\n"


async def test_after_a_kill_a_completed_call_is_replayed_and_an_interrupted_one_is_not_run_again(tmp_path):
    command = configured(tmp_path, "plugins: [till]")
    environment = install(tmp_path / "site")
    state = tmp_path / "state"
    async with (
        process(*command, state=state, environment=environment) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        client = Client(channel)
        await client.structured("till.take", "done", amount=5)
        call = client.call("till.take", "interrupted", amount=7, hang=True)
        assert (await call.read()).progress.message == "written"
        await service.kill()
    async with (
        process(*command, state=state, environment=environment) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        client = Client(channel)
        assert await client.structured("till.take", "done", amount=5) == {"result": 5}
        error = await client.error("till.take", "interrupted", amount=7, hang=True)
        assert (error.code, error.reason) == ("ABORTED", "TOOL_OUTCOME_UNKNOWN")
    assert (state / "plugins" / "till" / "book.txt").read_text() == "5\n7\n"


async def test_after_a_kill_bookings_and_the_audit_chain_are_intact(tmp_path):
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
