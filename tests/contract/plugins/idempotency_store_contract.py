"""What Ledger promises. Every ledger's test class inherits these and brings `ledger`, `clock` and `other`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from clawdbot_plugin_sdk import Attachment
from clawdbot_plugins.core.idempotency_store import CallId, Claim
from clawdbot_plugins.core.single_flight import Outcome

CALL = CallId("default", "tables.reserve", "r-1")
SAME, DIFFERENT = b"1" * 32, b"2" * 32
DONE = Outcome("booked", {"ref": "T-1", "deep": {"list": [1, None, "ü"]}})


class LedgerContract:
    """The fixture `ledger` is open, remembers a call for 100 s by `clock`, and 5 calls at most."""

    async def test_a_new_call_is_granted(self, ledger):
        assert await ledger.claim(CALL, SAME, again=False) is Claim.GRANTED

    async def test_a_settled_call_gives_its_outcome_again_and_says_so(self, ledger):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.settle(CALL, DONE)
        for again in (False, True, False):
            outcome = await ledger.claim(CALL, SAME, again=again)
            assert outcome == Outcome(DONE.text, DONE.structured, replayed=True)

    @pytest.mark.parametrize(
        "outcome",
        [
            Outcome("the till is on fire", None, is_error=True),
            Outcome("", None),
            Outcome("x", {}),
            Outcome("", None, attachments=(Attachment(bytes(range(256)), "image/png"),)),
            Outcome("x", {}, attachments=(Attachment(b"%PDF", "application/pdf", "menü"),) * 2),
        ],
    )
    async def test_every_kind_of_outcome_is_kept_as_it_was(self, ledger, outcome):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.settle(CALL, outcome)
        again = await ledger.claim(CALL, SAME, again=False)
        assert again == replace(outcome, replayed=True)

    async def test_other_arguments_under_the_same_id_are_told_apart_whatever_came_of_the_first(self, ledger):
        await ledger.claim(CALL, SAME, again=False)
        assert await ledger.claim(CALL, DIFFERENT, again=True) is Claim.OTHER_ARGUMENTS
        await ledger.settle(CALL, DONE)
        assert await ledger.claim(CALL, DIFFERENT, again=False) is Claim.OTHER_ARGUMENTS

    @pytest.mark.parametrize(
        "other",
        [
            CallId("acme", CALL.tool, "r-1"),
            CallId("default", "t.u", "r-1"),
            CallId("default", CALL.tool, "r-2"),
        ],
    )
    async def test_another_tenant_tool_or_id_is_another_call(self, ledger, other):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.settle(CALL, DONE)
        assert await ledger.claim(other, DIFFERENT, again=False) is Claim.GRANTED

    async def test_a_released_call_was_never_begun(self, ledger):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.release(CALL)
        assert await ledger.claim(CALL, DIFFERENT, again=False) is Claim.GRANTED

    async def test_an_abandoned_call_was_broken_off(self, ledger):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.abandon(CALL)
        for _ in range(2):
            assert await ledger.claim(CALL, SAME, again=False) is Claim.BROKEN_OFF

    async def test_a_broken_off_call_is_granted_to_one_who_may_run_it_again(self, ledger):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.abandon(CALL)
        assert await ledger.claim(CALL, SAME, again=True) is Claim.GRANTED
        await ledger.settle(CALL, DONE)
        assert (await ledger.claim(CALL, SAME, again=True)).replayed

    async def test_a_claim_of_this_process_that_nobody_settled_was_broken_off(self, ledger):
        """Its settling failed: whoever asks knows that the call is not running here."""
        await ledger.claim(CALL, SAME, again=False)
        assert await ledger.claim(CALL, SAME, again=False) is Claim.BROKEN_OFF

    async def test_a_call_is_forgotten_after_its_time(self, ledger, clock):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.settle(CALL, DONE)
        clock.now += 99
        assert (await ledger.claim(CALL, SAME, again=False)).replayed
        clock.now += 2
        assert await ledger.claim(CALL, DIFFERENT, again=False) is Claim.GRANTED

    async def test_a_call_that_is_running_is_not_forgotten_while_it_runs(self, ledger, clock):
        await ledger.claim(CALL, SAME, again=False)
        clock.now += 1000
        assert await ledger.claim(CALL, SAME, again=False) is Claim.BROKEN_OFF

    async def test_the_oldest_calls_are_forgotten_first(self, ledger, clock):
        calls = [CallId("default", "t.u", f"r-{number}") for number in range(300)]
        for call in calls:
            clock.now += 0.001
            await ledger.claim(call, SAME, again=False)
            await ledger.settle(call, DONE)
        assert isinstance(await ledger.claim(calls[-1], SAME, again=False), Outcome)
        assert await ledger.claim(calls[0], SAME, again=False) is Claim.GRANTED

    async def test_one_of_many_claims_at_once_is_granted(self, ledger):
        claims = await asyncio.gather(*(ledger.claim(CALL, SAME, again=False) for _ in range(20)))
        assert claims.count(Claim.GRANTED) == 1

    async def test_it_answers_while_it_is_open(self, ledger):
        await ledger.check()

    async def test_it_closes_twice(self, ledger):
        await ledger.close()
        await ledger.close()


class SharedLedgerContract(LedgerContract):
    """For ledgers that processes share: the fixture `other` is a second one on the same store."""

    async def test_a_call_that_another_process_runs_is_elsewhere(self, ledger, other):
        await ledger.claim(CALL, SAME, again=False)
        for again in (False, True):
            assert await other.claim(CALL, SAME, again=again) is Claim.ELSEWHERE

    async def test_it_stays_elsewhere_however_long_it_runs(self, ledger, other, clock):
        await ledger.claim(CALL, SAME, again=False)
        clock.now += 1000
        for number in range(200):  # rounds of forgetting are among them
            await other.claim(CallId("default", "t.u", str(number)), SAME, again=False)
        assert await other.claim(CALL, SAME, again=True) is Claim.ELSEWHERE

    async def test_an_outcome_is_known_to_every_process(self, ledger, other):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.settle(CALL, DONE)
        assert (await other.claim(CALL, SAME, again=False)).structured == DONE.structured
        assert await other.claim(CALL, DIFFERENT, again=False) is Claim.OTHER_ARGUMENTS

    async def test_a_call_of_a_process_that_has_ended_was_broken_off(self, ledger, other):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.close()
        assert await other.claim(CALL, SAME, again=False) is Claim.BROKEN_OFF
        assert await other.claim(CALL, SAME, again=True) is Claim.GRANTED

    async def test_one_of_many_claims_from_two_processes_is_granted(self, ledger, other):
        claims = await asyncio.gather(
            *(each.claim(CALL, SAME, again=False) for _ in range(10) for each in (ledger, other))
        )
        assert claims.count(Claim.GRANTED) == 1
