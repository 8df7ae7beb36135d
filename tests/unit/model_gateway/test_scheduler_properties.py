"""What holds for the scheduler whatever arrives, leaves and changes."""

from __future__ import annotations

import math

from clawdbot_model_gateway.core.scheduling.scheduler import QueueLimits
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.properties import examples
from tests.support.queue_simulation import Job, Simulation

TIMES = st.floats(0, 20).map(lambda seconds: round(seconds, 1))
"""Coarse, so that much happens at the same time."""


@st.composite
def jobs(draw):
    """A request with its arrival, and when its caller leaves, if it does."""
    arrival = draw(TIMES)
    job = Job(
        tenant=draw(st.sampled_from("abc")),
        priority=draw(st.sampled_from([1, 2, 3])),
        tokens=draw(st.integers(0, 5000)),
        seconds=draw(st.sampled_from([0.0, 0.1, 1.0, 5.0])),
        deadline=draw(st.just(math.inf) | TIMES.map(lambda seconds: arrival + seconds)),
    )
    return arrival, job, draw(st.none() | TIMES.map(lambda seconds: arrival + seconds))


QUEUES = st.builds(QueueLimits, size=st.integers(0, 10), timeout=st.sampled_from([0.1, 1.0, 5.0, 300.0]))


@settings(max_examples=examples(500))
@given(
    slots=st.integers(1, 4),
    queue=QUEUES,
    planned=st.lists(jobs(), max_size=60),
    changes=st.lists(st.tuples(TIMES, st.integers(1, 6)), max_size=5),
)
def test_every_request_ends_once_in_time_and_no_slot_is_lost(slots, queue, planned, changes):
    simulation = Simulation(slots, queue)
    for arrival, job, left in planned:
        simulation.arrive(arrival, job)
        if left is not None:
            simulation.leave(left, job)

    def change(limit):
        simulation.scheduler.limit = limit
        simulation.scheduler.dispatch()

    for time, limit in changes:
        simulation.at(time, lambda limit=limit: change(limit))
    # It asserts on the way: at most `limit` have a slot after a grant, and nobody waits beside a free slot.
    simulation.run()
    assert simulation.scheduler.in_flight == simulation.scheduler.waiting == 0
    assert simulation.busiest <= max([slots, *(limit for _, limit in changes)])
    for arrival, job, left in planned:
        assert job.outcome
        if job.began is None:
            last = min(job.deadline, arrival + queue.timeout, math.inf if left is None else left)
            assert job.ended <= max(arrival, last)
        elif job.began > arrival:
            assert job.began <= min(job.deadline, arrival + queue.timeout)
        if job.outcome == "served":
            assert job.ended == job.began + job.seconds
    # All slots can be used again.
    for _ in range(simulation.scheduler.limit):
        assert simulation.scheduler.enter()
    assert not simulation.scheduler.enter()
