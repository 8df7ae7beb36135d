"""The contract of IdempotencyStore. The test class of each store inherits it and provides the fixtures."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from clawdbot_plugin_sdk import Attachment
from clawdbot_plugins.core.idempotency_store import CallId, ClaimResult
from clawdbot_plugins.core.single_flight import ToolOutcome

CALL = CallId("default", "tables.reserve", "r-1")
SAME, DIFFERENT = b"1" * 32, b"2" * 32
OUTCOME = ToolOutcome("booked", {"ref": "T-1", "deep": {"list": [1, None, "ü"]}})


class IdempotencyStoreContract:
    """The fixture `store` is open, remembers calls for 100 s by the fixture `clock`, and 5 calls at most."""

    async def test_a_new_call_is_granted(self, store):
        assert await store.claim(CALL, SAME, allow_rerun=False) is ClaimResult.GRANTED

    async def test_a_completed_call_returns_its_outcome_marked_as_replayed(self, store):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.complete(CALL, OUTCOME)
        for allow_rerun in (False, True, False):
            outcome = await store.claim(CALL, SAME, allow_rerun=allow_rerun)
            assert outcome == ToolOutcome(OUTCOME.text, OUTCOME.structured, replayed=True)

    @pytest.mark.parametrize(
        "outcome",
        [
            ToolOutcome("the till is on fire", None, is_error=True),
            ToolOutcome("", None),
            ToolOutcome("x", {}),
            ToolOutcome("", None, attachments=(Attachment(bytes(range(256)), "image/png"),)),
            ToolOutcome("x", {}, attachments=(Attachment(b"%PDF", "application/pdf", "menü"),) * 2),
        ],
    )
    async def test_every_kind_of_outcome_is_stored_unchanged(self, store, outcome):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.complete(CALL, outcome)
        replayed = await store.claim(CALL, SAME, allow_rerun=False)
        assert replayed == replace(outcome, replayed=True)

    async def test_other_arguments_with_the_same_id_are_a_mismatch_before_and_after_completion(self, store):
        await store.claim(CALL, SAME, allow_rerun=False)
        assert await store.claim(CALL, DIFFERENT, allow_rerun=True) is ClaimResult.ARGUMENTS_MISMATCH
        await store.complete(CALL, OUTCOME)
        assert await store.claim(CALL, DIFFERENT, allow_rerun=False) is ClaimResult.ARGUMENTS_MISMATCH

    @pytest.mark.parametrize(
        "other",
        [
            CallId("acme", CALL.tool, "r-1"),
            CallId("default", "t.u", "r-1"),
            CallId("default", CALL.tool, "r-2"),
        ],
    )
    async def test_another_tenant_tool_or_id_is_another_call(self, store, other):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.complete(CALL, OUTCOME)
        assert await store.claim(other, DIFFERENT, allow_rerun=False) is ClaimResult.GRANTED

    async def test_a_released_call_can_be_claimed_as_if_new(self, store):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.release(CALL)
        assert await store.claim(CALL, DIFFERENT, allow_rerun=False) is ClaimResult.GRANTED

    async def test_an_interrupted_call_stays_interrupted(self, store):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.mark_interrupted(CALL)
        for _ in range(2):
            assert await store.claim(CALL, SAME, allow_rerun=False) is ClaimResult.INTERRUPTED

    async def test_an_interrupted_call_is_granted_to_a_caller_that_allows_a_rerun(self, store):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.mark_interrupted(CALL)
        assert await store.claim(CALL, SAME, allow_rerun=True) is ClaimResult.GRANTED
        await store.complete(CALL, OUTCOME)
        assert (await store.claim(CALL, SAME, allow_rerun=True)).replayed

    async def test_an_incomplete_claim_of_this_process_was_interrupted(self, store):
        """Completing it failed: the caller knows that the call is not running in this process."""
        await store.claim(CALL, SAME, allow_rerun=False)
        assert await store.claim(CALL, SAME, allow_rerun=False) is ClaimResult.INTERRUPTED

    async def test_a_call_is_forgotten_after_its_retention(self, store, clock):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.complete(CALL, OUTCOME)
        clock.now += 99
        assert (await store.claim(CALL, SAME, allow_rerun=False)).replayed
        clock.now += 2
        assert await store.claim(CALL, DIFFERENT, allow_rerun=False) is ClaimResult.GRANTED

    async def test_a_running_call_is_not_forgotten(self, store, clock):
        await store.claim(CALL, SAME, allow_rerun=False)
        clock.now += 1000
        assert await store.claim(CALL, SAME, allow_rerun=False) is ClaimResult.INTERRUPTED

    async def test_the_oldest_calls_are_forgotten_first(self, store, clock):
        calls = [CallId("default", "t.u", f"r-{number}") for number in range(300)]
        for call in calls:
            clock.now += 0.001
            await store.claim(call, SAME, allow_rerun=False)
            await store.complete(call, OUTCOME)
        assert isinstance(await store.claim(calls[-1], SAME, allow_rerun=False), ToolOutcome)
        assert await store.claim(calls[0], SAME, allow_rerun=False) is ClaimResult.GRANTED

    async def test_one_of_many_concurrent_claims_is_granted(self, store):
        claims = await asyncio.gather(*(store.claim(CALL, SAME, allow_rerun=False) for _ in range(20)))
        assert claims.count(ClaimResult.GRANTED) == 1

    async def test_an_open_store_passes_its_check(self, store):
        await store.check()

    async def test_closing_twice_is_safe(self, store):
        await store.close()
        await store.close()


class SharedIdempotencyStoreContract(IdempotencyStoreContract):
    """For stores that processes share: the fixture `other` is a second store on the same data."""

    async def test_a_call_of_another_process_is_running_elsewhere(self, store, other):
        await store.claim(CALL, SAME, allow_rerun=False)
        for allow_rerun in (False, True):
            assert await other.claim(CALL, SAME, allow_rerun=allow_rerun) is ClaimResult.RUNNING_ELSEWHERE

    async def test_it_stays_running_elsewhere_however_long_it_takes(self, store, other, clock):
        await store.claim(CALL, SAME, allow_rerun=False)
        clock.now += 1000
        for number in range(200):  # enough for several clean-ups
            await other.claim(CallId("default", "t.u", str(number)), SAME, allow_rerun=False)
        assert await other.claim(CALL, SAME, allow_rerun=True) is ClaimResult.RUNNING_ELSEWHERE

    async def test_an_outcome_is_known_to_every_process(self, store, other):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.complete(CALL, OUTCOME)
        assert (await other.claim(CALL, SAME, allow_rerun=False)).structured == OUTCOME.structured
        assert await other.claim(CALL, DIFFERENT, allow_rerun=False) is ClaimResult.ARGUMENTS_MISMATCH

    async def test_a_call_of_a_process_that_has_ended_was_interrupted(self, store, other):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.close()
        assert await other.claim(CALL, SAME, allow_rerun=False) is ClaimResult.INTERRUPTED
        assert await other.claim(CALL, SAME, allow_rerun=True) is ClaimResult.GRANTED

    async def test_one_of_many_concurrent_claims_from_two_processes_is_granted(self, store, other):
        claims = await asyncio.gather(
            *(each.claim(CALL, SAME, allow_rerun=False) for _ in range(10) for each in (store, other))
        )
        assert claims.count(ClaimResult.GRANTED) == 1
