"""The contract of UsageLedger. The test class of each implementation inherits it."""

from __future__ import annotations

import asyncio

from clawdbot_model_gateway.core.limits.usage_ledger import COUNTS, UsageKey, UsageQuery

ONE = [1] * len(COUNTS)
ANN = UsageKey("2026-11-30", "acme", "ann", "a/m")
BOB = UsageKey("2026-11-30", "acme", "bob", "a/x/y")
OLD = UsageKey("2026-11-01", "acme", "ann", "a/m")
OTHER = UsageKey("2026-11-30", "other", "", "b/ü:1\0")
NOVEMBER = UsageQuery("2026-11-01", "2026-11-30")


def counts(*values: int) -> list[int]:
    """The first counts; the rest is 0."""
    return [*values, *[0] * (len(COUNTS) - len(values))]


async def totals(ledger, query=NOVEMBER) -> dict[UsageKey, list[int]]:
    return {key: [*values] for key, values in (await ledger.totals(query)).items()}


class UsageLedgerContract:
    """The fixture `ledger` is new and started; `other` is the same ledger as another worker sees it.

    The fixture `kill` ends the process of a ledger, as far as others can tell.
    """

    async def test_a_new_ledger_is_empty(self, ledger):
        assert await totals(ledger) == {}

    async def test_what_is_added_is_added_up(self, ledger, other):
        await ledger.add("1", {ANN: ONE, OTHER: counts(2)})
        await other.add("2", {ANN: counts(1, 0, 2**40), BOB: ONE})
        expected = {ANN: [2, 1, 2**40 + 1, *ONE[3:]], BOB: ONE, OTHER: counts(2)}
        assert await totals(ledger) == await totals(other) == expected

    async def test_a_batch_counts_once(self, ledger):
        for _ in range(3):
            await ledger.add("1", {ANN: ONE})
        await ledger.add("2", {ANN: ONE})
        assert await totals(ledger) == {ANN: [2] * len(COUNTS)}

    async def test_a_batch_counts_once_although_its_caller_was_cancelled(self, ledger):
        adding = asyncio.create_task(ledger.add("1", {ANN: ONE}))
        await asyncio.sleep(0)
        adding.cancel()
        await asyncio.wait([adding])
        await ledger.add("1", {ANN: ONE})
        assert await totals(ledger) == {ANN: ONE}

    async def test_days_tenants_keys_and_models_are_selected(self, ledger):
        await ledger.add("1", dict.fromkeys((ANN, BOB, OLD, OTHER), ONE))

        async def found(first="2026-11-01", last="2026-11-30", **fields) -> set[UsageKey]:
            return set(await ledger.totals(UsageQuery(first, last, **fields)))

        assert await found() == {ANN, BOB, OLD, OTHER}
        assert await found("2026-11-02") == {ANN, BOB, OTHER}
        assert await found(last="2026-11-29") == {OLD}
        assert await found(tenant="other") == {OTHER}
        assert await found(key_id="ann") == {ANN, OLD}
        assert await found(model="a/x/y", tenant="acme") == {BOB}
        assert await found(model="a") == set()

    async def test_usage_is_grouped(self, ledger):
        await ledger.add("1", dict.fromkeys((ANN, BOB, OLD, OTHER), ONE))
        by_tenant = UsageQuery("2026-11-01", "2026-11-30", group_by={"tenant"})
        assert await totals(ledger, by_tenant) == {
            UsageKey("", "acme", "", ""): [3] * len(COUNTS),
            UsageKey("", "other", "", ""): ONE,
        }
        days = UsageQuery("2026-11-01", "2026-11-30", tenant="acme", group_by={"day"})
        assert await totals(ledger, days) == {
            UsageKey("2026-11-01", "", "", ""): ONE,
            UsageKey("2026-11-30", "", "", ""): [2] * len(COUNTS),
        }

    async def test_old_days_are_forgotten(self, ledger):
        await ledger.add("1", {OLD: ONE, ANN: ONE})
        await ledger.forget("2026-11-30")
        assert set(await totals(ledger)) == {ANN}

    async def test_what_running_calls_have_used_counts_once_after_a_kill(self, ledger, other, kill):
        await ledger.add("1", {ANN: ONE}, {ANN: counts(1, 1, 5), BOB: ONE})
        await ledger.add("2", {}, {ANN: counts(1, 1, 9), OTHER: counts(1)})
        await ledger.add("3", {ANN: ONE})
        assert await totals(ledger) == await totals(other) == {ANN: [2] * len(COUNTS)}
        kill(ledger)
        expected = {ANN: [3, 3, 11, *[2] * (len(COUNTS) - 3)], OTHER: counts(1)}
        for _ in range(2):
            assert await totals(other) == expected

    async def test_running_calls_that_have_ended_are_not_counted_again(self, ledger, other, kill):
        await ledger.add("1", {}, {ANN: ONE})
        for _ in range(2):
            await ledger.add("2", {ANN: ONE}, {})
        kill(ledger)
        assert await totals(other) == {ANN: ONE}

    async def test_old_days_of_killed_processes_are_forgotten_as_well(self, ledger, other, kill):
        await ledger.add("1", {}, {OLD: ONE, ANN: ONE})
        kill(ledger)
        await other.forget("2026-11-30")
        assert await totals(other) == {ANN: ONE}
