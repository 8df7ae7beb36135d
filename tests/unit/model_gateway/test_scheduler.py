"""The scheduler of a backend's slots, in simulated time."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_BATCH,
    PRIORITY_INTERACTIVE,
    PRIORITY_STANDARD,
)
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.scheduling.scheduler import NO_LIMIT, QueueLimits

from tests.support.queue_simulation import Job, Simulation, jain

CLASSES = (PRIORITY_INTERACTIVE, PRIORITY_STANDARD, PRIORITY_BATCH)


def flood(simulation, seconds, rate, **fields):
    """Requests at random times."""
    draw = random.Random(f"{fields}")
    time = 0.0
    while (time := time + draw.expovariate(rate)) < seconds:
        simulation.arrive(time, Job(**fields))


def served(jobs, by, since=0.0):
    """Requests that were served, by an attribute."""
    return Counter(getattr(each, by) for each in jobs if each.outcome == "served" and each.began >= since)


def order(jobs):
    """The tenants, in the order in which they got their slots."""
    return [each.tenant for each in sorted(jobs, key=lambda each: each.began)]


# Fairness between tenants


@pytest.mark.parametrize("size", [20, 100, 100_000], ids=lambda size: f"queue of {size}")
@pytest.mark.parametrize("priority", CLASSES)
def test_a_tenant_that_sends_a_hundred_times_as_much_gets_no_more_than_the_others(size, priority):
    simulation = Simulation(8, QueueLimits(size=size))
    # Eight requests a second are served: one for each tenant, and each asks for one and a half at least.
    for number in range(8):
        flood(simulation, 120, 150 if number == 0 else 1.5, tenant=f"t{number}", priority=priority)
    counts = served(simulation.run(120), "tenant")
    assert jain([counts[f"t{number}"] for number in range(8)]) >= 0.95


def test_tenants_share_tokens_and_not_requests():
    simulation = Simulation(4, QueueLimits(size=10_000))
    for tenant, tokens in (("short", 500), ("long", 5_000), ("huge", 200_000)):
        flood(simulation, 500, 10, tenant=tenant, tokens=tokens)
    counts = served(simulation.run(500), "tenant")
    used = [counts["short"] * 500, counts["long"] * 5_000]
    assert jain(used) >= 0.95
    assert counts["huge"] >= 1


def test_a_tenant_that_comes_late_waits_for_no_ones_backlog():
    simulation = Simulation(1, QueueLimits(size=10_000))
    for _ in range(500):
        simulation.arrive(0.0, Job(tenant="busy"))
    late = simulation.arrive(10.5, Job(tenant="late", tokens=100))
    simulation.run()
    assert late.waited <= 2


def test_a_request_of_any_size_is_served():
    simulation = Simulation(1)
    for tokens in (1, 10**9, 1, 10**7):
        simulation.arrive(0.0, Job(tenant=f"t{tokens}", tokens=tokens))
    assert {each.outcome for each in simulation.run()} == {"served"}


def test_a_tenants_most_urgent_request_goes_first():
    simulation = Simulation(1)
    jobs = [simulation.arrive(0.0, Job(deadline=1e9, tenant="first"))]
    jobs += [simulation.arrive(0.1, Job(deadline=each)) for each in (300.0, 100.0, math.inf, 200.0)]
    simulation.run()
    jobs.sort(key=lambda each: each.began)
    assert [each.deadline for each in jobs] == [1e9, 100.0, 200.0, 300.0, math.inf]


# Priority classes


@pytest.mark.parametrize("slots", [1, 3, 50])
def test_every_class_gets_its_share_under_full_load_of_the_others(slots):
    simulation = Simulation(slots, QueueLimits(size=1000))
    for priority in CLASSES:
        simulation.repeat(lambda priority=priority: Job(priority=priority), callers=2 * slots + 5)
    counts = served(simulation.run(40000 / slots / 10), "priority", since=10)
    total = counts.total()
    assert counts[PRIORITY_BATCH] / total == pytest.approx(0.1, abs=0.01)
    assert counts[PRIORITY_STANDARD] / total == pytest.approx(0.3, abs=0.01)
    assert counts[PRIORITY_INTERACTIVE] / total == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("size", [10, 1000])
def test_batch_is_not_starved_by_interactive_requests_that_fill_the_queue(size):
    simulation = Simulation(4, QueueLimits(size=size))
    flood(simulation, 200, 100, priority=PRIORITY_INTERACTIVE)
    flood(simulation, 200, 4, priority=PRIORITY_BATCH)
    counts = served(simulation.run(200), "priority")
    assert counts[PRIORITY_BATCH] / counts.total() >= 0.08
    assert counts[PRIORITY_INTERACTIVE] / counts.total() >= 0.85


def test_interactive_requests_wait_for_no_backlog_of_a_lower_class():
    simulation = Simulation(2, QueueLimits(size=100))
    flood(simulation, 500, 50, priority=PRIORITY_BATCH)
    flood(simulation, 500, 50, priority=PRIORITY_STANDARD)
    flood(simulation, 500, 0.5, priority=PRIORITY_INTERACTIVE, tenant="person")
    jobs = simulation.run(600)
    people = [each for each in jobs if each.priority == PRIORITY_INTERACTIVE]
    assert {each.outcome for each in people} == {"served"}
    # Mostly the next slot, of two that are kept for a second; the others' shares may go first.
    assert sum(each.waited for each in people) / len(people) < 1.0
    assert max(each.waited for each in people) < 5.0


def test_a_class_alone_gets_everything():
    simulation = Simulation(4)
    simulation.repeat(lambda: Job(priority=PRIORITY_BATCH), callers=20)
    assert served(simulation.run(100), "priority")[PRIORITY_BATCH] >= 4 * 99


def test_without_a_share_a_class_gets_what_others_leave():
    shares = {PRIORITY_INTERACTIVE: 1.0, PRIORITY_STANDARD: 0.0, PRIORITY_BATCH: 0.0}
    simulation = Simulation(1, QueueLimits(shares=shares))
    jobs = [simulation.arrive(0.0, Job(priority=each, tenant=str(each))) for each in (2, 3, 2, 1, 1)]
    simulation.run()
    assert order(jobs) == ["2", "1", "1", "2", "3"]


# Refusals


def test_without_a_limit_nobody_waits():
    simulation = Simulation(NO_LIMIT, QueueLimits(size=0))
    jobs = [simulation.arrive(0.0, Job()) for _ in range(5000)]
    simulation.run()
    assert {each.waited for each in jobs} == {0.0}


def test_a_full_queue_refuses_the_newest():
    simulation = Simulation(1, QueueLimits(size=2))
    jobs = [simulation.arrive(0.01 * number, Job()) for number in range(5)]
    simulation.run()
    assert [each.outcome for each in jobs] == ["served"] * 3 + ["QUEUE_FULL"] * 2
    assert jobs[4].ended == jobs[4].arrived


def test_in_a_full_queue_batch_gives_way():
    simulation = Simulation(1, QueueLimits(size=4))
    simulation.arrive(0.0, Job())
    batch = [simulation.arrive(0.1, Job(priority=PRIORITY_BATCH)) for _ in range(4)]
    others = [simulation.arrive(0.2, Job(priority=each)) for each in (1, 2, 1)]
    simulation.run()
    assert {each.outcome for each in others} == {"served"}
    assert [each.outcome for each in batch] == ["served"] + ["QUEUE_FULL"] * 3


def test_in_a_full_queue_the_tenant_with_the_most_requests_gives_way():
    simulation = Simulation(1, QueueLimits(size=4))
    busy = [simulation.arrive(0.0, Job(tenant="busy")) for _ in range(5)]
    other = [simulation.arrive(0.1, Job(tenant="other")) for _ in range(3)]
    simulation.run()
    assert [each.outcome for each in busy] == ["served"] * 3 + ["QUEUE_FULL"] * 2
    assert [each.outcome for each in other] == ["served"] * 2 + ["QUEUE_FULL"]


def test_a_request_waits_no_longer_than_the_queues_timeout():
    simulation = Simulation(1, QueueLimits(timeout=2.5))
    jobs = [simulation.arrive(0.0, Job(seconds=10.0)), *(simulation.arrive(0.5, Job()) for _ in range(3))]
    simulation.run()
    assert [each.outcome for each in jobs] == ["served"] + ["QUEUE_TIMEOUT"] * 3
    assert {each.ended for each in jobs[1:]} == {3.0}


def test_a_deadline_that_cannot_be_met_behind_other_tenants_is_refused_on_arrival():
    simulation = Simulation(1)
    for number in range(40):
        simulation.repeat(lambda number=number: Job(tenant=f"t{number}"), callers=1)
    simulation.run(20.0)
    late = simulation.arrive(20.5, Job(deadline=25.0))
    urgent = simulation.arrive(20.5, Job(deadline=25.0, priority=PRIORITY_INTERACTIVE))
    relaxed = simulation.arrive(20.5, Job(deadline=80.0))
    simulation.run(100.0)
    assert (late.outcome, late.ended) == ("DEADLINE_UNREACHABLE", 20.5)
    assert urgent.outcome == relaxed.outcome == "served"


@pytest.mark.parametrize("others", [0, 5], ids=lambda others: f"{others} other tenants")
def test_a_deadline_that_can_be_met_once_others_have_expired_is_no_reason_to_refuse(others):
    simulation = Simulation(1)
    # Nothing is known yet, so all may wait.
    for _ in range(100):
        simulation.arrive(0.0, Job(deadline=30.0))
    for number in range(others):
        simulation.arrive(0.0, Job(tenant=f"other {number}"))
    late = simulation.arrive(12.5, Job(deadline=60.0))
    hopeless = simulation.arrive(12.5, Job(deadline=30.0))
    simulation.run(100.0)
    assert late.outcome == "served"
    assert (hopeless.outcome, hopeless.ended) == ("DEADLINE_UNREACHABLE", 12.5)


def test_a_request_leaves_the_queue_at_its_deadline():
    simulation = Simulation(1)
    simulation.arrive(0.0, Job(seconds=10.0))
    waiting = simulation.arrive(0.5, Job(deadline=3.0))
    simulation.run()
    assert (waiting.outcome, waiting.ended) == ("DEADLINE_UNREACHABLE", 3.0)


def test_a_refusal_says_when_to_come_back():
    simulation = Simulation(1, QueueLimits(size=20))
    for _ in range(30):
        simulation.arrive(0.0, Job(seconds=2.0))
    simulation.run(20.0)
    errors = []
    for _ in range(20):
        try:
            simulation.scheduler.enqueue(PRIORITY_STANDARD, "t", 1, math.inf, errors.append)
        except ModelError as error:
            errors.append(error)
    # Twenty wait, each for two seconds.
    assert errors[-1].reason == "QUEUE_FULL"
    assert errors[-1].retry_after == pytest.approx(40.0)


# Leaving


def test_a_caller_that_leaves_the_queue_makes_room():
    simulation = Simulation(1, QueueLimits(size=1))
    simulation.arrive(0.0, Job())
    gone = simulation.arrive(0.1, Job())
    simulation.leave(0.2, gone)
    next_one = simulation.arrive(0.3, Job())
    simulation.run()
    assert (gone.outcome, next_one.outcome, next_one.began) == ("cancelled", "served", 1.0)


def test_a_caller_that_leaves_before_it_uses_its_slot_frees_it_once():
    simulation = Simulation(1)
    scheduler = simulation.scheduler
    assert scheduler.enter()
    woken = []
    waiter = scheduler.enqueue(PRIORITY_STANDARD, "t", 1, math.inf, woken.append)
    scheduler.leave(0.0, None, None)
    assert (woken, scheduler.in_flight) == ([None], 1)
    scheduler.abandon(waiter)
    scheduler.abandon(waiter)
    assert scheduler.in_flight == 0
    assert scheduler.enter()


def test_a_slot_cannot_be_freed_twice():
    scheduler = Simulation(1).scheduler
    assert scheduler.enter()
    scheduler.leave(0.0, None, None)
    with pytest.raises(AssertionError):
        scheduler.leave(0.0, None, None)
