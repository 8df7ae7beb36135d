"""A tool whose effect is `once` runs at most once for a request id; every caller hears what came of it."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugin_sdk import Context, Partial, Plugin, ToolError
from clawdbot_plugins.core.errors import OutcomeUnknown, RequestIdReused, ToolBusy, ToolTimedOut
from clawdbot_plugins.core.idempotency_store import LedgerUnavailable
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryLedger
from clawdbot_plugins.stores.sqlite.idempotency_store import SqliteLedger
from clawdbot_servicekit.errors import InvalidRequest
from structlog.testing import capture_logs

from tests.support.plugin_core import Clock, core_of


class Till:
    """A plugin that takes money, and counts how often it did."""

    def __init__(self):
        self.plugin = plugin = Plugin("till", version="1.0.0")
        self.taken = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

        async def work(amount, ctx):
            self.begun.set()
            await ctx.partial("taking")
            await self.go.wait()
            if amount == 13:
                raise ToolError("Not thirteen.")
            self.taken.append(amount)
            return len(self.taken)

        @plugin.tool(effect="once", timeout="200ms", max_in_flight=2)
        async def take(amount: int, ctx: Context) -> int:
            """Take money."""
            return await work(amount, ctx)

        @plugin.tool(effect="once", recognises_repeats=True)
        async def take_known(amount: int, ctx: Context) -> int:
            """Take money, and know a repeated request."""
            return await work(amount, ctx)

        @plugin.tool(effect="repeatable")
        async def put(amount: int, ctx: Context) -> int:
            """Put money where it is already."""
            return await work(amount, ctx)


@pytest.fixture
def till():
    return Till()


@pytest.fixture
async def core(till, tmp_path):
    async with core_of(tmp_path, till.plugin) as core:
        yield core


async def test_a_repeated_call_gets_the_first_ones_result_and_does_not_run(core, till):
    first = await core.outcome("till.take", "r-1", amount=5)
    again = await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == [5]
    assert (again.text, again.structured) == (first.text, first.structured)
    assert again.replayed
    assert not first.replayed


async def test_a_failure_of_the_tool_is_remembered_as_well(core, till):
    first = await core.outcome("till.take", "r-1", amount=13)
    again = await core.outcome("till.take", "r-1", amount=13)
    assert first.is_error
    assert (again.text, again.is_error, again.replayed) == (first.text, True, True)


async def test_calls_at_once_with_one_id_share_one_run_and_what_it_tells(core, till):
    till.go.clear()
    calls = [asyncio.create_task(core.events("till.take", "r-1", amount=5)) for _ in range(10)]
    await till.begun.wait()
    till.go.set()
    told = await asyncio.gather(*calls)
    assert till.taken == [5]
    assert {events[-1].text for events in told} == {"1"}
    assert Partial("taking") in told[0]


async def test_another_id_another_tenant_and_no_id_run_anew(core, till):
    await core.outcome("till.take", "r-1", amount=5)
    await core.outcome("till.take", "r-2", amount=5)
    await core.outcome("till.take", "r-1", tenant="acme", amount=5)
    await core.outcome("till.take", amount=5)
    await core.outcome("till.take", amount=5)
    assert till.taken == [5] * 5


async def test_a_tool_that_may_run_twice_runs_each_time(core, till):
    await core.outcome("till.put", "r-1", amount=5)
    await core.outcome("till.put", "r-1", amount=5)
    assert till.taken == [5, 5]


async def test_an_id_that_was_used_for_other_arguments_is_refused(core, till):
    await core.outcome("till.take", "r-1", amount=5)
    with pytest.raises(RequestIdReused):
        await core.outcome("till.take", "r-1", amount=6)
    assert till.taken == [5]


async def test_an_id_that_is_in_use_for_other_arguments_is_refused(core, till):
    till.go.clear()
    first = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
    await till.begun.wait()
    with pytest.raises(RequestIdReused):
        await core.outcome("till.take", "r-1", amount=6)
    till.go.set()
    assert (await first).text == "1"


async def cancelled(core, till, tool):
    """A call that is broken off after it has begun."""
    till.go.clear()
    till.begun.clear()
    call = asyncio.create_task(core.outcome(tool, "r-1", amount=5))
    await till.begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    till.go.set()


async def test_what_came_of_a_call_that_was_broken_off_is_not_known(core, till):
    await cancelled(core, till, "till.take")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == []


async def test_what_came_of_a_call_that_timed_out_is_not_known(core, till):
    till.go.clear()
    with pytest.raises(ToolTimedOut):
        await core.outcome("till.take", "r-1", amount=5)
    till.go.set()
    with pytest.raises(OutcomeUnknown):
        await core.outcome("till.take", "r-1", amount=5)


async def test_a_tool_that_recognises_repeats_is_run_again_after_it_was_broken_off(core, till):
    await cancelled(core, till, "till.take_known")
    assert (await core.outcome("till.take_known", "r-1", amount=5)).text == "1"
    assert (await core.outcome("till.take_known", "r-1", amount=5)).replayed
    assert till.taken == [5]


async def test_one_of_two_followers_may_leave(core, till):
    till.go.clear()
    leaving = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
    await till.begun.wait()
    staying = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait((leaving,))
    till.go.set()
    assert (await staying).text == "1"
    assert till.taken == [5]


async def test_a_call_that_was_refused_as_busy_was_never_begun(core, till):
    till.go.clear()
    busy = [asyncio.create_task(core.outcome("till.take", f"b-{number}", amount=1)) for number in range(2)]
    await till.begun.wait()
    with pytest.raises(ToolBusy):
        await core.outcome("till.take", "r-1", amount=5)
    till.go.set()
    await asyncio.gather(*busy)
    assert not (await core.outcome("till.take", "r-1", amount=5)).replayed


async def test_arguments_that_do_not_fit_leave_no_trace(core, till):
    with pytest.raises(InvalidRequest):
        await core.outcome("till.take", "r-1", amount="much")
    assert (await core.outcome("till.take", "r-1", amount=5)).text == "1"


class FailingLedger(InMemoryLedger):
    """Cannot write down what came of a call."""

    async def settle(self, call, outcome):
        raise LedgerUnavailable("the disk is full")


async def test_a_ledger_that_fails_afterwards_does_not_change_what_the_caller_hears(till, tmp_path):
    ledger = FailingLedger(remember=10, capacity=10, clock=Clock())
    async with core_of(tmp_path, till.plugin, ledger=ledger) as core:
        with capture_logs() as logs:
            assert (await core.outcome("till.take", "r-1", amount=5)).text == "1"
        assert [line["event"] for line in logs] == ["outcome_not_written"]
        with pytest.raises(OutcomeUnknown):
            await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == [5]


class DeafLedger(InMemoryLedger):
    """Cannot be read."""

    async def claim(self, call, digest, *, again):
        raise LedgerUnavailable("the disk is gone")


async def test_without_the_ledger_nothing_that_must_run_once_runs(till, tmp_path):
    async with core_of(
        tmp_path, till.plugin, ledger=DeafLedger(remember=1, capacity=1, clock=Clock())
    ) as core:
        with pytest.raises(LedgerUnavailable):
            await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == []


async def test_two_processes_run_a_call_once_and_both_hear_its_result(tmp_path):
    """Two cores on one SQLite ledger; the one that waits gets the other's result."""
    first, second = Till(), Till()
    first.go.clear()

    def ledger():
        return SqliteLedger(tmp_path / "ledger", remember=100, capacity=100, clock=Clock())

    async with (
        core_of(tmp_path, first.plugin, ledger=ledger()) as one,
        core_of(tmp_path, second.plugin, ledger=ledger()) as two,
    ):
        running = asyncio.create_task(one.outcome("till.take", "r-1", amount=5))
        await first.begun.wait()
        waiting = asyncio.create_task(two.outcome("till.take", "r-1", amount=5))
        first.go.set()
        results = await asyncio.gather(running, waiting)
    assert [each.text for each in results] == ["1", "1"]
    assert [each.replayed for each in results] == [False, True]
    assert (first.taken, second.taken) == ([5], [])


async def test_a_waiting_caller_that_leaves_claims_nothing(till, tmp_path):
    """Cancelled while the ledger is at work, it lets go of what it was granted."""
    granted, go_on = asyncio.Event(), asyncio.Event()

    class SlowLedger(InMemoryLedger):
        async def claim(self, call, digest, *, again):
            claim = await super().claim(call, digest, again=again)
            granted.set()
            await go_on.wait()
            return claim

    ledger = SlowLedger(remember=10, capacity=10, clock=Clock())
    async with core_of(tmp_path, till.plugin, ledger=ledger) as core:
        call = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
        await granted.wait()
        call.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait((call,))
        assert (await core.outcome("till.take", "r-1", amount=5)).text == "1"
