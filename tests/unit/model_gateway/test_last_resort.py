"""A request that has failed elsewhere goes to a backend whose breaker is open: that is its last resort."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import (
    BREAKER_STATE_CLOSED,
    BREAKER_STATE_HALF_OPEN,
    BREAKER_STATE_OPEN,
)
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendDraining,
    BackendFailed,
    BreakerOpen,
    CannotEmbed,
    QueueFull,
    RateLimited,
)
from clawdbot_model_gateway.core.failures.circuit_breaker import BreakerLimits, CircuitBreaker
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy, HedgeRule
from clawdbot_model_gateway.core.routing.routing_table import Target
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.conditions import until
from tests.support.generate_requests import asks
from tests.support.properties import examples
from tests.support.scripted_provider import Bench, FakeProvider, says

DOWN = BackendFailed("down")


class Request:
    answered = False


class OpenBreaker(CircuitBreaker):
    """A breaker with a clock that has just opened, for ten seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.refused: list[BreakerOpen] = []
        super().__init__("a", BreakerLimits(failures=1, cooldown=10), lambda: self.now, lambda: 0.0)
        self.leave(self.enter(Request()), DOWN)

    def enter(self, call, *, last_resort=False) -> int:
        try:
            return super().enter(call, last_resort=last_resort)
        except BreakerOpen as error:
            self.refused.append(error)
            raise

    def resort(self) -> int:
        return self.enter(Request(), last_resort=True)


def test_it_goes_before_the_cool_down_is_over_and_its_success_closes():
    breaker = OpenBreaker()
    permit = breaker.resort()
    assert breaker.state == BREAKER_STATE_HALF_OPEN
    breaker.leave(permit, None)
    assert breaker.state == BREAKER_STATE_CLOSED


def test_the_beginning_of_its_reply_is_enough():
    breaker, request = OpenBreaker(), Request()
    breaker.enter(request, last_resort=True)
    request.answered = True
    assert breaker.available
    assert breaker.state == BREAKER_STATE_CLOSED


@pytest.mark.parametrize("error", [DOWN, QueueFull("x"), asyncio.CancelledError(), RuntimeError()])
def test_one_that_fails_leaves_the_cool_down_as_it_was(error):
    breaker = OpenBreaker()
    for _ in range(5):
        breaker.now += 1
        breaker.leave(breaker.resort(), error)
        assert breaker.state == BREAKER_STATE_OPEN
    assert breaker.retry_after == 5
    breaker.now += 5
    breaker.leave(breaker.enter(Request()), None)
    assert breaker.state == BREAKER_STATE_CLOSED


def test_others_follow_one_until_it_fails():
    """The target where it failed has perhaps just opened, and then they have nowhere else to go either."""
    breaker = OpenBreaker()
    breaker.resort()
    assert not breaker.available
    follower = breaker.enter(Request())
    breaker.leave(follower, DOWN)
    assert breaker.state == BREAKER_STATE_OPEN
    with pytest.raises(BreakerOpen):
        breaker.enter(Request())
    breaker.resort()
    with pytest.raises(BreakerOpen):
        breaker.enter(Request())


def test_others_follow_again_a_cool_down_after_one_has_failed():
    breaker = OpenBreaker()
    breaker.now += 10
    breaker.leave(breaker.enter(Request()), DOWN)
    breaker.leave(breaker.resort(), DOWN)
    breaker.now += 11
    breaker.resort()
    assert not breaker.available
    breaker.leave(breaker.enter(Request()), None)
    assert breaker.state == BREAKER_STATE_CLOSED


def test_it_joins_a_probe_that_is_undecided():
    breaker = OpenBreaker()
    breaker.now += 10
    probe = breaker.enter(Request())
    breaker.leave(breaker.resort(), None)
    assert breaker.state == BREAKER_STATE_CLOSED
    breaker.leave(probe, DOWN)
    assert breaker.state == BREAKER_STATE_CLOSED


OUTCOMES = st.sampled_from([None, DOWN, QueueFull("x"), asyncio.CancelledError()])
STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "resort", "end", "answer", "wait"]), st.integers(0, 20), OUTCOMES),
    max_size=120,
)


@settings(max_examples=examples(500))
@given(steps=STEPS)
def test_it_always_goes_and_leaves_a_breaker_that_recovers(steps):
    breaker = OpenBreaker()
    running: list[tuple[Request, int]] = []
    for kind, number, outcome in steps:
        if kind == "wait":
            breaker.now += number
        elif kind == "resort" or (kind == "begin" and breaker.available):
            request = Request()
            running.append((request, breaker.enter(request, last_resort=kind == "resort")))
        elif running and kind != "begin":
            request, permit = running[number % len(running)]
            if kind == "answer":
                request.answered = True
            else:
                running.remove((request, permit))
                breaker.leave(permit, outcome)
        if breaker.state == BREAKER_STATE_HALF_OPEN:
            assert running
    for _, permit in running:
        breaker.leave(permit, asyncio.CancelledError())
    breaker.now += 60
    breaker.leave(breaker.enter(Request()), None)
    assert breaker.state == BREAKER_STATE_CLOSED


def bench(*names: str, **scripts) -> Bench:
    """Backends behind one alias, of which the named ones have an open breaker."""
    providers = {name: FakeProvider(script) for name, script in scripts.items()}
    made = Bench({"default": tuple(Target(name, "m") for name in scripts)}, **providers)
    for name in names:
        made.backends[name].breaker = OpenBreaker()
    return made


@pytest.mark.parametrize("error", [DOWN, RateLimited("x"), BackendAuth("x")])
async def test_every_open_backend_is_asked_in_turn_once_one_has_failed(error):
    made = bench("b", "c", a=[error], b=[DOWN], c=says("yes"))
    assert (await made.generation.generate(asks())).backend == "c"
    assert [made.backends[each].breaker.state for each in "bc"] == [BREAKER_STATE_OPEN, BREAKER_STATE_CLOSED]


async def test_one_that_was_refused_before_another_failed_is_asked_after_all():
    """As a hedge is, which has another target to wait for."""
    gate = asyncio.Event()
    made = bench("b", a=[gate, DOWN], b=says("yes"))
    made.backends["a"].failure = FailurePolicy(hedge=HedgeRule(after=0.01))
    call = asyncio.create_task(made.generation.generate(asks()))
    await until(lambda: made.backends["b"].breaker.refused)
    gate.set()
    assert (await call).backend == "b"


@pytest.mark.parametrize("error", [QueueFull("x"), BackendDraining("x"), CannotEmbed("x")])
async def test_it_is_no_last_resort_where_no_other_backend_was_asked(error):
    made = bench("b", a=[error], b=says("yes"))
    with pytest.raises(type(error) if error.transient else BreakerOpen):
        await made.generation.generate(asks())
    assert made.providers["b"].asked == []
