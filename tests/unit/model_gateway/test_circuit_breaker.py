"""A breaker opens on failures of its backend, and on nothing else; single probes find out when it works."""

from __future__ import annotations

import asyncio
import time

import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import (
    BREAKER_STATE_CLOSED,
    BREAKER_STATE_HALF_OPEN,
    BREAKER_STATE_OPEN,
)
from clawdbot_model_gateway.core import errors
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.failures.circuit_breaker import BreakerLimits, CircuitBreaker
from clawdbot_model_gateway.core.scheduling.scheduler import QueueLimits, Scheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.generate_requests import asks
from tests.support.properties import examples
from tests.support.scripted_provider import FakeProvider

FAILS = [
    errors.BackendUnreachable,
    errors.NameNotResolved,
    errors.ProxyFailed,
    errors.TlsFailed,
    errors.BackendTimeout,
    errors.BackendFailed,
    errors.BackendOverloaded,
    errors.ProtocolViolation,
]
ANSWERS = [
    errors.RequestRefused,
    errors.ContextTooLong,
    errors.ContentFiltered,
    errors.MediaRefused,
    errors.FeatureRefused,
    errors.ModelMissing,
    errors.NoEndpoint,
    errors.ResponseFormatMissed,
    errors.RateLimited,
    errors.QuotaExhausted,
    errors.BackendAuth,
    errors.LimitTooSmall,
]
SAYS_NOTHING = [
    asyncio.CancelledError,
    GeneratorExit,
    errors.QueueFull,
    errors.QueueTimeout,
    errors.DeadlineUnreachable,
    errors.CannotEmbed,
    RuntimeError,
]


class Request:
    answered = False


class Trial:
    """A breaker with a clock, and without chance."""

    def __init__(self, **limits) -> None:
        self.now = 100.0
        self.probed_at = 0.0
        self.breaker = CircuitBreaker("a", BreakerLimits(**limits), lambda: self.now, lambda: 0.0)

    def call(self, error=None) -> None:
        self.breaker.leave(self.breaker.enter(Request()), error and error("x"))

    def calls(self, *outcomes) -> None:
        for each in outcomes:
            self.call(each)

    def begin(self, request):
        """The request with its permit, if it gets one; at most one gets it in a cool-down, unless closed."""
        before = self.state
        if not self.breaker.available:
            assert before != BREAKER_STATE_CLOSED
            with pytest.raises(errors.BreakerOpen) as refused:
                self.breaker.enter(request)
            assert 0 < refused.value.retry_after <= 8
            return []
        if before == BREAKER_STATE_HALF_OPEN:
            assert self.now >= self.probed_at + 2
        if before != BREAKER_STATE_CLOSED:
            self.probed_at = self.now
        return [(request, self.breaker.enter(request))]

    @property
    def state(self):
        return self.breaker.state


DOWN = errors.BackendUnreachable


@pytest.mark.parametrize("error", FAILS)
def test_failures_in_a_row_open_it(error):
    trial = Trial(failures=3)
    trial.calls(error, error)
    assert trial.state == BREAKER_STATE_CLOSED
    trial.call(error)
    assert trial.state == BREAKER_STATE_OPEN
    with pytest.raises(errors.BreakerOpen) as refused:
        trial.call()
    assert error.reason in str(refused.value)


@pytest.mark.parametrize("error", ANSWERS + SAYS_NOTHING)
def test_what_is_no_failure_of_the_backend_does_not_open_it(error):
    trial = Trial(failures=3, min_calls=3)
    trial.calls(*[error] * 50)
    assert trial.state == BREAKER_STATE_CLOSED


def test_a_success_ends_a_row():
    trial = Trial(failures=3, failure_share=1.0)
    trial.calls(*[DOWN, DOWN, None] * 20)
    assert trial.state == BREAKER_STATE_CLOSED


@pytest.mark.parametrize("says_nothing", SAYS_NOTHING)
def test_a_caller_that_leaves_does_not_end_a_row(says_nothing):
    trial = Trial(failures=3)
    trial.calls(DOWN, says_nothing, DOWN, says_nothing, DOWN)
    assert trial.state == BREAKER_STATE_OPEN


def test_a_share_of_failures_opens_it_once_there_are_enough_calls():
    trial = Trial(failures=100, failure_share=0.5, min_calls=10)
    trial.calls(*[None, DOWN] * 4, None)
    assert trial.state == BREAKER_STATE_CLOSED
    trial.call(DOWN)
    assert trial.state == BREAKER_STATE_OPEN


def test_failures_before_the_window_are_forgotten():
    trial = Trial(failures=100, failure_share=0.5, min_calls=10, window=10)
    for _ in range(30):
        trial.calls(DOWN, DOWN, None)
        trial.now += 5
    assert trial.state == BREAKER_STATE_CLOSED


def test_the_next_request_after_the_cool_down_is_a_probe_and_the_others_are_refused():
    trial = Trial(failures=1, cooldown=2)
    trial.call(DOWN)
    assert (trial.breaker.available, trial.breaker.retry_after) == (False, 2)
    trial.now += 1.5
    with pytest.raises(errors.BreakerOpen) as refused:
        trial.call()
    assert refused.value.retry_after == 0.5
    trial.now += 0.5
    assert trial.breaker.available
    permit = trial.breaker.enter(Request())
    assert (trial.state, trial.breaker.available) == (BREAKER_STATE_HALF_OPEN, False)
    with pytest.raises(errors.BreakerOpen):
        trial.call()
    trial.breaker.leave(permit, None)
    assert (trial.state, trial.breaker.available) == (BREAKER_STATE_CLOSED, True)


def test_each_failed_probe_doubles_the_cool_down_up_to_its_limit_and_a_success_resets_it():
    trial = Trial(failures=1, cooldown=2, max_cooldown=10)
    waits = []
    trial.call(DOWN)
    for _ in range(5):
        waits.append(trial.breaker.retry_after)
        trial.now += waits[-1]
        trial.call(DOWN)
    assert waits == [2, 4, 8, 10, 10]
    trial.now += 10
    trial.calls(None, DOWN)
    assert trial.breaker.retry_after == 2


def test_the_cool_down_is_longer_by_chance():
    waits = []
    for drawn in (0.0, 0.5, 0.99):
        limits = BreakerLimits(failures=1, cooldown=4)
        breaker = CircuitBreaker("a", limits, lambda: 0.0, lambda drawn=drawn: drawn)
        breaker.leave(breaker.enter(Request()), DOWN("x"))
        waits.append(breaker.retry_after)
    assert waits == [4, 4.5, pytest.approx(4.99)]


def test_a_backend_that_says_how_long_to_wait_is_left_alone_for_so_long():
    trial = Trial(failures=1, cooldown=2, max_cooldown=60)
    trial.breaker.leave(trial.breaker.enter(Request()), errors.BackendOverloaded("x", retry_after=20))
    assert trial.breaker.retry_after == 20


def test_a_refused_request_shows_that_the_backend_works():
    trial = Trial(failures=1, cooldown=2)
    trial.call(DOWN)
    trial.now += 2
    trial.call(errors.RequestRefused)
    assert trial.state == BREAKER_STATE_CLOSED


@pytest.mark.parametrize("error", SAYS_NOTHING)
def test_a_probe_that_is_broken_off_judges_nothing_and_the_next_request_is_one(error):
    trial = Trial(failures=1, cooldown=2)
    trial.call(DOWN)
    trial.now += 2
    trial.call(error)
    assert (trial.state, trial.breaker.available) == (BREAKER_STATE_OPEN, True)
    trial.call()
    assert trial.state == BREAKER_STATE_CLOSED


def test_the_beginning_of_a_streamed_reply_is_enough():
    trial = Trial(failures=1, cooldown=2)
    trial.call(DOWN)
    trial.now += 2
    probe = Request()
    permit = trial.breaker.enter(probe)
    assert not trial.breaker.available
    probe.answered = True
    assert trial.breaker.available
    assert trial.state == BREAKER_STATE_CLOSED
    trial.breaker.leave(permit, None)
    trial.call()


def test_while_a_probe_is_undecided_another_one_follows_after_each_cool_down():
    """A whole reply may take minutes, and nobody else would be served meanwhile."""
    trial = Trial(failures=1, cooldown=2)
    trial.call(DOWN)
    probes = []
    for _ in range(3):
        trial.now += 1.9
        assert not trial.breaker.available
        trial.now += 0.1
        probes.append(trial.breaker.enter(Request()))
        assert trial.state == BREAKER_STATE_HALF_OPEN
    trial.breaker.leave(probes[1], None)
    assert trial.state == BREAKER_STATE_CLOSED
    for each in probes:
        trial.breaker.leave(each, DOWN("x"))
    assert trial.state == BREAKER_STATE_CLOSED


def test_what_began_before_it_opened_changes_nothing_afterwards():
    trial = Trial(failures=1, cooldown=2)
    late = [trial.breaker.enter(Request()) for _ in range(3)]
    trial.call(DOWN)
    trial.breaker.leave(late[0], None)
    assert trial.state == BREAKER_STATE_OPEN
    trial.now += 2
    permit = trial.breaker.enter(Request())
    trial.breaker.leave(late[1], None)
    trial.breaker.leave(late[2], DOWN("x"))
    assert trial.state == BREAKER_STATE_HALF_OPEN
    trial.breaker.leave(permit, None)
    assert trial.state == BREAKER_STATE_CLOSED


OUTCOMES = st.sampled_from([None, DOWN, errors.RequestRefused, asyncio.CancelledError])
STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "answer", "wait"]), st.integers(0, 5), OUTCOMES), max_size=120
)


@settings(max_examples=examples(500))
@given(steps=STEPS)
def test_probes_are_a_cool_down_apart_and_always_given_back(steps):
    trial = Trial(failures=2, failure_share=0.5, min_calls=4, cooldown=2, max_cooldown=8)
    running: list[tuple[Request, int]] = []
    for kind, number, outcome in steps:
        if kind == "wait":
            trial.now += number
        elif kind == "begin":
            running += trial.begin(Request())
        elif running:
            request, permit = running[number % len(running)]
            if kind == "answer":
                request.answered = True
            else:
                running.remove((request, permit))
                trial.breaker.leave(permit, outcome and outcome("x"))
        if trial.state == BREAKER_STATE_HALF_OPEN:
            assert running
    for _, permit in running:
        trial.breaker.leave(permit, asyncio.CancelledError())
    # Whatever happened, it can be used again.
    trial.now += 8
    trial.call()
    assert trial.state == BREAKER_STATE_CLOSED


def guarded(slots=1, **limits):
    breaker = CircuitBreaker("a", BreakerLimits(**limits), time.monotonic, lambda: 0.0)
    scheduler = Scheduler(slots, QueueLimits(), time.monotonic)
    return Backend("a", "fake", FakeProvider(), scheduler=scheduler, breaker=breaker)


async def use(backend, error=None, release=None):
    async with backend.slot(asks()):
        if release is not None:
            await release.wait()
        if error is not None:
            raise error


async def test_requests_that_wait_are_refused_when_the_backend_turns_out_not_to_work():
    backend, release = guarded(failures=1), asyncio.Event()
    first = asyncio.create_task(use(backend, DOWN("x"), release))
    await asyncio.sleep(0)
    others = [asyncio.create_task(use(backend)) for _ in range(9)]
    await asyncio.sleep(0)
    release.set()
    ended = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(each) for each in ended] == [DOWN, *[errors.BreakerOpen] * 9]
    assert (backend.in_flight, backend.breaker.state) == (0, BREAKER_STATE_OPEN)


@pytest.mark.parametrize("turns", range(4))
async def test_a_probe_that_is_cancelled_at_any_moment_is_given_back(turns):
    """Also one that waits for a slot."""
    for occupied in (False, True):
        backend, release = guarded(failures=1, cooldown=0.001), asyncio.Event()
        with pytest.raises(DOWN):
            await use(backend, DOWN("x"))
        await asyncio.sleep(0.002)
        if occupied:
            assert backend.scheduler.enter()
        probe = asyncio.create_task(use(backend, release=release))
        for _ in range(turns):
            await asyncio.sleep(0)
        probe.cancel()
        if occupied:
            backend.scheduler.leave(0.0, None, None)
        await asyncio.gather(probe, return_exceptions=True)
        assert probe.cancelled()
        await use(backend)
        assert (backend.in_flight, backend.breaker.state) == (0, BREAKER_STATE_CLOSED)


@pytest.mark.parametrize(("silence", "state"), [(0.01, BREAKER_STATE_OPEN), (10.0, BREAKER_STATE_CLOSED)])
async def test_an_attempt_that_is_given_up_after_a_long_silence_is_a_failure(monkeypatch, silence, state):
    monkeypatch.setattr("clawdbot_model_gateway.core.backends.SILENCE", silence)
    backend = guarded(failures=1)
    expires_at = time.monotonic() + 0.05
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.06), backend.slot(asks(), None, expires_at):
            await asyncio.Event().wait()
    assert (backend.in_flight, backend.breaker.state) == (0, state)


async def test_a_caller_that_leaves_a_silent_backend_judges_nothing(monkeypatch):
    monkeypatch.setattr("clawdbot_model_gateway.core.backends.SILENCE", 0.01)
    backend = guarded(failures=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), backend.slot(asks(), None, time.monotonic() + 60):
            await asyncio.Event().wait()
    assert backend.breaker.state == BREAKER_STATE_CLOSED


async def test_a_count_of_tokens_says_nothing_about_the_backend():
    backend = guarded(failures=1)
    for error in (DOWN("x"), errors.ProtocolViolation("x")):
        with pytest.raises(errors.ModelError):
            async with backend.slot(asks(), judged=False):
                raise error
    assert backend.breaker.state == BREAKER_STATE_CLOSED
