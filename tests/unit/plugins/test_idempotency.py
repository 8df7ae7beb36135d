"""A tool whose effect is `once` runs at most once for a request id; every caller gets its outcome."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugin_sdk import Context, Partial, Plugin, ToolError
from clawdbot_plugins.core.errors import OutcomeUnknown, RequestIdReused, ToolBusy, ToolTimedOut
from clawdbot_plugins.core.idempotency_store import IdempotencyStoreUnavailable
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryIdempotencyStore
from clawdbot_plugins.stores.sqlite.idempotency_store import SqliteIdempotencyStore
from clawdbot_servicekit.errors import InvalidRequest
from structlog.testing import capture_logs

from tests.support.plugin_core import Clock, core_of


class Till:
    """A plugin that takes money, and counts how often it has run."""

    def __init__(self):
        self.plugin = plugin = Plugin("till", version="1.0.0")
        self.taken = []
        self.started, self.released = asyncio.Event(), asyncio.Event()
        self.released.set()

        async def work(amount, ctx):
            self.started.set()
            await ctx.partial("taking")
            await self.released.wait()
            if amount == 13:
                raise ToolError("Not thirteen.")
            self.taken.append(amount)
            return len(self.taken)

        @plugin.tool(effect="once", max_in_flight=2)
        async def take(amount: int, ctx: Context) -> int:
            """Take money."""
            return await work(amount, ctx)

        @plugin.tool(effect="once", timeout="50ms")
        async def take_at_once(amount: int, ctx: Context) -> int:
            """Take money, or give up after a moment."""
            return await work(amount, ctx)

        @plugin.tool(effect="once", recognises_repeats=True)
        async def take_known(amount: int, ctx: Context) -> int:
            """Take money, and recognise a repeated request."""
            return await work(amount, ctx)

        @plugin.tool(effect="repeatable")
        async def put(amount: int, ctx: Context) -> int:
            """Set the amount of money."""
            return await work(amount, ctx)


@pytest.fixture
def till():
    return Till()


@pytest.fixture
async def core(till, tmp_path):
    async with core_of(tmp_path, till.plugin) as core:
        yield core


async def test_a_repeated_call_gets_the_first_result_and_does_not_run(core, till):
    first = await core.outcome("till.take", "r-1", amount=5)
    again = await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == [5]
    assert (again.text, again.structured) == (first.text, first.structured)
    assert again.replayed
    assert not first.replayed


async def test_an_error_result_is_replayed_too(core, till):
    first = await core.outcome("till.take", "r-1", amount=13)
    again = await core.outcome("till.take", "r-1", amount=13)
    assert first.is_error
    assert (again.text, again.is_error, again.replayed) == (first.text, True, True)


async def test_concurrent_calls_with_one_id_share_one_run_and_its_events(core, till):
    till.released.clear()
    calls = [asyncio.create_task(core.events("till.take", "r-1", amount=5)) for _ in range(10)]
    await till.started.wait()
    till.released.set()
    results = await asyncio.gather(*calls)
    assert till.taken == [5]
    assert {events[-1].text for events in results} == {"1"}
    assert Partial("taking") in results[0]


async def test_another_id_another_tenant_and_no_id_run_again(core, till):
    await core.outcome("till.take", "r-1", amount=5)
    await core.outcome("till.take", "r-2", amount=5)
    await core.outcome("till.take", "r-1", tenant="acme", amount=5)
    await core.outcome("till.take", amount=5)
    await core.outcome("till.take", amount=5)
    assert till.taken == [5] * 5


async def test_a_repeatable_tool_runs_each_time(core, till):
    await core.outcome("till.put", "r-1", amount=5)
    await core.outcome("till.put", "r-1", amount=5)
    assert till.taken == [5, 5]


async def test_an_id_that_was_used_with_other_arguments_is_refused(core, till):
    await core.outcome("till.take", "r-1", amount=5)
    with pytest.raises(RequestIdReused):
        await core.outcome("till.take", "r-1", amount=6)
    assert till.taken == [5]


async def test_an_id_that_is_in_use_with_other_arguments_is_refused(core, till):
    till.released.clear()
    first = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
    await till.started.wait()
    with pytest.raises(RequestIdReused):
        await core.outcome("till.take", "r-1", amount=6)
    till.released.set()
    assert (await first).text == "1"


async def cancel_midway(core, till, tool):
    """Cancels a call after the tool has started."""
    till.released.clear()
    till.started.clear()
    call = asyncio.create_task(core.outcome(tool, "r-1", amount=5))
    await till.started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    till.released.set()


async def test_the_outcome_of_a_cancelled_call_is_unknown(core, till):
    await cancel_midway(core, till, "till.take")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == []


async def test_the_outcome_of_a_call_that_timed_out_is_unknown(core, till):
    till.released.clear()
    with pytest.raises(ToolTimedOut):
        await core.outcome("till.take_at_once", "r-1", amount=5)
    till.released.set()
    with pytest.raises(OutcomeUnknown):
        await core.outcome("till.take_at_once", "r-1", amount=5)


async def test_a_tool_that_recognises_repeats_is_run_again_after_an_interruption(core, till):
    await cancel_midway(core, till, "till.take_known")
    assert (await core.outcome("till.take_known", "r-1", amount=5)).text == "1"
    assert (await core.outcome("till.take_known", "r-1", amount=5)).replayed
    assert till.taken == [5]


async def test_the_run_continues_when_one_of_two_callers_leaves(core, till):
    till.released.clear()
    leaving = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
    await till.started.wait()
    staying = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait((leaving,))
    till.released.set()
    assert (await staying).text == "1"
    assert till.taken == [5]


async def test_a_call_that_was_refused_as_busy_was_not_started(core, till):
    till.released.clear()
    busy = [asyncio.create_task(core.outcome("till.take", f"b-{number}", amount=1)) for number in range(2)]
    await till.started.wait()
    with pytest.raises(ToolBusy):
        await core.outcome("till.take", "r-1", amount=5)
    till.released.set()
    await asyncio.gather(*busy)
    assert not (await core.outcome("till.take", "r-1", amount=5)).replayed


async def test_a_call_with_invalid_arguments_is_not_remembered(core, till):
    with pytest.raises(InvalidRequest):
        await core.outcome("till.take", "r-1", amount="much")
    assert (await core.outcome("till.take", "r-1", amount=5)).text == "1"


class WriteFailingStore(InMemoryIdempotencyStore):
    """Cannot store an outcome."""

    async def complete(self, call, outcome):
        raise IdempotencyStoreUnavailable("the disk is full")


async def test_a_store_that_fails_afterwards_does_not_change_the_callers_outcome(till, tmp_path):
    store = WriteFailingStore(retention=10, capacity=10, clock=Clock())
    async with core_of(tmp_path, till.plugin, store=store) as core:
        with capture_logs() as logs:
            assert (await core.outcome("till.take", "r-1", amount=5)).text == "1"
        assert [line["event"] for line in logs] == ["outcome_not_written"]
        with pytest.raises(OutcomeUnknown):
            await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == [5]


class UnavailableStore(InMemoryIdempotencyStore):
    """Cannot be read."""

    async def claim(self, call, digest, *, allow_rerun):
        raise IdempotencyStoreUnavailable("the disk is gone")


async def test_without_the_store_no_once_only_tool_runs(till, tmp_path):
    async with core_of(
        tmp_path, till.plugin, store=UnavailableStore(retention=1, capacity=1, clock=Clock())
    ) as core:
        with pytest.raises(IdempotencyStoreUnavailable):
            await core.outcome("till.take", "r-1", amount=5)
    assert till.taken == []


async def test_two_processes_run_a_call_once_and_both_get_its_result(tmp_path):
    """Two cores on one SQLite store; the one that waits gets the other's result."""
    first, second = Till(), Till()
    first.released.clear()

    def store():
        return SqliteIdempotencyStore(tmp_path / "store", retention=100, capacity=100, clock=Clock())

    async with (
        core_of(tmp_path, first.plugin, store=store()) as one,
        core_of(tmp_path, second.plugin, store=store()) as two,
    ):
        running = asyncio.create_task(one.outcome("till.take", "r-1", amount=5))
        await first.started.wait()
        waiting = asyncio.create_task(two.outcome("till.take", "r-1", amount=5))
        first.released.set()
        results = await asyncio.gather(running, waiting)
    assert [each.text for each in results] == ["1", "1"]
    assert [each.replayed for each in results] == [False, True]
    assert (first.taken, second.taken) == ([5], [])


async def test_a_waiting_caller_that_leaves_keeps_no_claim(till, tmp_path):
    """If it is cancelled while the store writes, it releases the claim that was granted."""
    granted, resume = asyncio.Event(), asyncio.Event()

    class SlowStore(InMemoryIdempotencyStore):
        async def claim(self, call, digest, *, allow_rerun):
            claim = await super().claim(call, digest, allow_rerun=allow_rerun)
            granted.set()
            await resume.wait()
            return claim

    store = SlowStore(retention=10, capacity=10, clock=Clock())
    async with core_of(tmp_path, till.plugin, store=store) as core:
        call = asyncio.create_task(core.outcome("till.take", "r-1", amount=5))
        await granted.wait()
        call.cancel()
        await asyncio.sleep(0)
        resume.set()
        await asyncio.wait((call,))
        assert (await core.outcome("till.take", "r-1", amount=5)).text == "1"
