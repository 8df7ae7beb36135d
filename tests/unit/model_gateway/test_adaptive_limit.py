"""The concurrency that the gateway finds out."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.errors import BackendFailed, BackendOverloaded, RateLimited
from clawdbot_model_gateway.core.scheduling.adaptive_limit import AdaptiveLimit
from clawdbot_model_gateway.core.scheduling.scheduler import QueueLimits, Scheduler

from tests.support.queue_simulation import Job, Simulation


def answered(limit, count, seconds=0.1, *, first_content=None, full=True, start=0.0):
    """Requests one after the other."""
    for number in range(count):
        began = start + number * seconds
        limit.succeeded(began, began + seconds, first_content, full=full)


def test_it_grows_from_its_minimum_to_its_maximum_while_it_holds_requests_back():
    limit = AdaptiveLimit(2, 10)
    assert limit.value == 2
    answered(limit, 3)
    assert limit.value == 5
    answered(limit, 100)
    assert limit.value == 10


def test_it_does_not_grow_while_slots_are_free():
    limit = AdaptiveLimit(2, 10)
    answered(limit, 100, full=False)
    assert limit.value == 2


def test_it_shrinks_once_for_the_refusals_of_a_round():
    limit = AdaptiveLimit(1, 100)
    answered(limit, 99)
    for _ in range(50):
        limit.overloaded(began_at=20.0, now=20.1)
    assert limit.value == 70
    limit.overloaded(began_at=20.2, now=20.3)
    assert limit.value == 49


def test_after_a_refusal_it_grows_by_one_for_each_round():
    limit = AdaptiveLimit(1, 100)
    answered(limit, 99)
    limit.overloaded(began_at=20.0, now=20.0)
    answered(limit, 71, start=21.0)
    assert limit.value in {70, 71}


def test_it_never_leaves_its_bounds():
    limit = AdaptiveLimit(3, 5)
    for time in range(20):
        limit.overloaded(float(time), time + 0.5)
    assert limit.value == 3


def test_it_shrinks_while_the_first_content_is_slower_than_usual_and_only_then():
    limit = AdaptiveLimit(1, 50)
    answered(limit, 300, first_content=0.2)
    assert limit.value == 50
    answered(limit, 30, first_content=0.25, start=100.0)
    assert limit.value == 50
    answered(limit, 30, first_content=2.0, start=200.0)
    assert limit.value < 25


@pytest.mark.parametrize(
    ("error", "limit"), [(RateLimited("x"), 7), (BackendOverloaded("x"), 7), (BackendFailed("x"), 10)]
)
def test_only_refusals_for_too_many_requests_count(error, limit):
    adaptive = AdaptiveLimit(1, 10)
    answered(adaptive, 10)
    scheduler = Scheduler(adaptive, QueueLimits(), lambda: 30.0)
    assert scheduler.limit == 10
    assert scheduler.enter()
    scheduler.leave(29.0, error, None)
    assert scheduler.limit == limit


def test_those_that_wait_get_the_slots_that_it_adds():
    simulation = Simulation(AdaptiveLimit(1, 8), QueueLimits())
    for _ in range(100):
        simulation.arrive(0.0, Job())
    simulation.run()
    assert simulation.busiest == 8
    assert {each.outcome for each in simulation.jobs} == {"served"}
