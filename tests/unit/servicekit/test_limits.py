"""Admission and deadlines, each on its own."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.errors import Overloaded, ShuttingDown
from clawdbot_servicekit.pipeline import Deadlines
from hypothesis import given
from hypothesis import strategies as st


async def test_calls_up_to_the_limit_are_admitted_and_one_that_ends_makes_room():
    admission = Admission(2, retry_after=3.0)
    admission.enter()
    admission.enter()
    with pytest.raises(Overloaded) as refused:
        admission.enter()
    assert (refused.value.limit, refused.value.retry_after, admission.count) == (2, 3.0, 2)
    admission.leave()
    admission.enter()
    assert admission.count == 2


async def test_a_closed_admission_refuses_and_waits_for_calls_in_flight():
    admission = Admission(2)
    await admission.idle()
    admission.enter()
    admission.close()
    with pytest.raises(ShuttingDown):
        admission.enter()
    idle = asyncio.ensure_future(admission.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    admission.leave()
    await idle
    assert (admission.count, admission.closed) == (0, True)


@given(st.floats(0, 1e6) | st.none(), st.floats(0.001, 1e4), st.floats(0.001, 1e4))
def test_a_call_gets_its_own_deadline_or_the_default_up_to_the_maximum(requested, default, maximum):
    allowed = Deadlines(default, maximum).clamp(requested)
    assert allowed == min(default if requested is None else requested, maximum)


async def test_remaining_shrinks_to_zero_and_outgoing_calls_get_less():
    assert (deadline.remaining(), deadline.outgoing_timeout(), deadline.outgoing_timeout(7)) == (
        None,
        None,
        7,
    )
    deadline.enter_deadline(10)
    assert 9 < deadline.remaining() <= 10
    assert 9 < deadline.outgoing_timeout() <= 10 - deadline.MARGIN
    assert deadline.outgoing_timeout(2) == 2
    deadline.enter_deadline(-1)
    assert (deadline.remaining(), deadline.outgoing_timeout()) == (0, 0)
    deadline.enter_deadline(None)
    assert deadline.remaining() is None


async def test_a_task_inherits_the_deadline_and_cannot_change_that_of_its_parent():
    deadline.enter_deadline(10)

    async def child():
        inherited = deadline.remaining()
        deadline.enter_deadline(1)
        return inherited

    assert 9 < await asyncio.create_task(child()) <= 10
    assert deadline.remaining() > 5
