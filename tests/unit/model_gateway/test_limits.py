"""What becomes of calls while the store of limits is busy, and of reservations that nobody waits for."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.limits import timed_store
from clawdbot_model_gateway.core.limits.limit_store import LimitStoreUnavailable, Reservation
from clawdbot_model_gateway.core.limits.limits import LimitRules, Limits
from clawdbot_model_gateway.core.limits.metrics import LimitMetrics
from clawdbot_model_gateway.core.limits.quotas import Limit, Quota, Quotas
from clawdbot_model_gateway.core.limits.refusals import LimitReached, LimitsUnavailable
from clawdbot_model_gateway.core.limits.windows import Rate
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.stores.in_memory.limit_store import InMemoryLimitStore
from clawdbot_servicekit.caller import Caller

from tests.support.generate_requests import asks
from tests.support.scripted_provider import FakeProvider

TARGETS = [Target("a", "m")]
THREE_A_DAY = Quotas(tenant=Quota([Limit("requests", 3, Rate(3, "day"))]))
ONE_AT_A_TIME = Quotas(tenant=Quota([Limit("concurrent", 1)]))


class SlowStore(InMemoryLimitStore):
    """Reserves at once, and says so when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.unanswered: list[tuple[asyncio.Future, object]] = []
        self.has_answered = True

    @property
    def answers(self) -> bool:
        return self.has_answered

    def reserve(self, charges):
        self.unanswered.append((asyncio.get_running_loop().create_future(), super().reserve(charges)))
        return self.unanswered[-1][0]

    async def answer(self) -> None:
        for future, outcome in self.unanswered:
            if not future.done():
                future.set_result(outcome)
        self.unanswered = []
        await asyncio.sleep(0)

    async def is_free(self) -> bool:
        """Whether a call could be admitted now."""
        await admit(limits(self, ONE_AT_A_TIME))
        _, verdict = self.unanswered.pop()
        if isinstance(verdict, Reservation):
            self.settle(verdict, [0] * len(verdict.charges))
        return isinstance(verdict, Reservation)


@pytest.fixture(autouse=True)
def long_patience(monkeypatch):
    """On a busy machine, seconds pass between the steps of a test."""
    monkeypatch.setattr(timed_store, "MAX_BUSY", 60.0)


def limits(store, quotas=ONE_AT_A_TIME, timeout=0.01, **options) -> Limits:
    rules = LimitRules(quotas, timeout=timeout, **options)
    return Limits(rules, store, {"a": Backend("a", "fake", FakeProvider())}, LimitMetrics())


async def admit(tested: Limits):
    _, admission = await tested.admit(Caller("acme"), asks(model="chat"), TARGETS, lambda: 1)
    return admission


def end(tested: Limits, admission) -> None:
    tested.settle(admission, RequestAttempts(asks(), TARGETS, lambda _: None))


async def test_what_is_reserved_for_a_call_that_was_cancelled_is_given_back():
    store = SlowStore()
    waiting = asyncio.create_task(admit(limits(store, timeout=60)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert not await store.is_free()
    await store.answer()
    assert await store.is_free()


async def test_what_is_reserved_too_late_for_a_call_that_was_refused_is_given_back():
    store = SlowStore()
    with pytest.raises(LimitsUnavailable, match="no answer within 10 ms"):
        await admit(limits(store, refuse_on_error=True))
    assert not await store.is_free()
    await store.answer()
    assert await store.is_free()


@pytest.mark.parametrize("answered_first", [False, True])
async def test_a_call_that_goes_on_keeps_what_it_reserves_too_late_until_it_ends(answered_first):
    store = SlowStore()
    tested = limits(store, ONE_AT_A_TIME)
    admission = await admit(tested)
    if answered_first:
        await store.answer()
        assert not await store.is_free()
    end(tested, admission)
    await store.answer()
    assert await store.is_free()


async def test_while_the_store_is_busy_a_call_without_room_waits_for_its_answer():
    store = SlowStore()
    tested = limits(store, THREE_A_DAY)
    for _ in range(3):
        await admit(tested)
    fourth = asyncio.create_task(admit(tested))
    await asyncio.wait([fourth], timeout=0.1)
    assert not fourth.done()
    await store.answer()
    with pytest.raises(LimitReached, match="have reserved 3 requests"):
        await fourth


async def test_while_the_store_is_busy_its_last_word_counts():
    store = SlowStore()
    await admit(limits(store, THREE_A_DAY))  # by another process
    tested = limits(store, THREE_A_DAY)
    await admit(tested)
    await store.answer()
    await admit(tested)
    waiting = asyncio.create_task(admit(tested))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    waiting.cancel()


async def test_while_the_store_is_busy_calls_go_on_as_others_end():
    store = SlowStore()
    tested = limits(store, ONE_AT_A_TIME)
    admission = await admit(tested)
    await store.answer()
    waiting = asyncio.create_task(admit(tested))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    end(tested, admission)
    await admit(tested)
    await store.answer()
    with pytest.raises(LimitReached):
        await waiting


async def test_a_call_that_waits_for_a_busy_store_goes_on_when_that_fails():
    store = SlowStore()
    tested = limits(store, ONE_AT_A_TIME)
    await admit(tested)
    waiting = asyncio.create_task(admit(tested))
    await asyncio.wait([waiting], timeout=0.1)
    for future, _ in store.unanswered:
        future.set_exception(LimitStoreUnavailable("down"))
    await waiting


async def test_a_store_that_has_never_answered_is_down_and_not_busy():
    store = SlowStore()
    store.has_answered = False
    tested = limits(store, THREE_A_DAY)
    for _ in range(5):
        await admit(tested)


async def test_a_store_that_is_silent_for_long_is_down_and_not_busy(monkeypatch):
    """As a file is that another program has locked."""
    monkeypatch.setattr(timed_store, "MAX_BUSY", 0.05)
    store = SlowStore()
    tested = limits(store, THREE_A_DAY)
    for _ in range(6):
        async with asyncio.timeout(30):
            await admit(tested)
    await store.answer()
    with pytest.raises(LimitReached):
        await asyncio.gather(admit(tested), store.answer())


async def test_a_failure_after_nobody_waits_is_no_trouble():
    store = SlowStore()
    with pytest.raises(LimitsUnavailable):
        await admit(limits(store, refuse_on_error=True))
    store.unanswered[0][0].set_exception(LimitStoreUnavailable("late"))
    await asyncio.sleep(0)
