"""What becomes of reservations that nobody waits for any more."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.limits.limit_store import LimitStoreUnavailable, Reservation
from clawdbot_model_gateway.core.limits.limits import LimitRules, Limits
from clawdbot_model_gateway.core.limits.metrics import LimitMetrics
from clawdbot_model_gateway.core.limits.quotas import Limit, Quota, Quotas
from clawdbot_model_gateway.core.limits.refusals import LimitsUnavailable
from clawdbot_model_gateway.core.limits.windows import Rate
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.stores.in_memory.limit_store import InMemoryLimitStore
from clawdbot_servicekit.caller import Caller

from tests.support.generate_requests import asks
from tests.support.scripted_provider import FakeProvider

TARGETS = [Target("a", "m")]
ONE_A_DAY = Quotas(tenant=Quota([Limit("requests", 1, Rate(1, "day")), Limit("concurrent", 1)]))


class SlowStore(InMemoryLimitStore):
    """Reserves at once, and says so later."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[asyncio.Future] = []
        self.outcomes: list = []

    def reserve(self, charges):
        self.outcomes.append(super().reserve(charges))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def answer(self) -> None:
        for future, outcome in zip(self.answers, self.outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    def is_free(self) -> bool:
        """Whether a call could be admitted now."""
        verdict = super().reserve(self.outcomes[0].charges)
        if isinstance(verdict, Reservation):
            self.settle(verdict, [0, 0])
        return isinstance(verdict, Reservation)


def limits(store, **options) -> Limits:
    rules = LimitRules(ONE_A_DAY, **options)
    return Limits(rules, store, {"a": Backend("a", "fake", FakeProvider())}, LimitMetrics())


def admit(tested: Limits):
    return tested.admit(Caller("acme"), asks(model="chat"), TARGETS, lambda: 1)


async def test_what_is_reserved_for_a_call_that_was_cancelled_is_given_back():
    store = SlowStore()
    waiting = asyncio.create_task(admit(limits(store, timeout=60)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert not store.is_free()
    store.answer()
    await asyncio.sleep(0)
    assert store.is_free()


@pytest.mark.parametrize("refuses", [False, True])
async def test_what_is_reserved_too_late_is_given_back(refuses):
    store = SlowStore()
    tested = limits(store, timeout=0.01, refuse_on_error=refuses)
    if refuses:
        with pytest.raises(LimitsUnavailable, match="no answer within 10 ms"):
            await admit(tested)
    else:
        _, admission = await admit(tested)
        ((_, reservation),) = admission.reserved
        assert reservation.amounts == [0, 0]
    assert not store.is_free()
    store.answer()
    await asyncio.sleep(0)
    assert store.is_free()


async def test_a_failure_after_nobody_waits_is_no_trouble():
    store = SlowStore()
    with pytest.raises(LimitsUnavailable):
        await admit(limits(store, timeout=0.01, refuse_on_error=True))
    store.answers[0].set_exception(LimitStoreUnavailable("late"))
    await asyncio.sleep(0)
