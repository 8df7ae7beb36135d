"""Admission and deadlines, by themselves."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.errors import Overloaded, ShuttingDown
from clawdbot_servicekit.pipeline import Deadlines
from hypothesis import given
from hypothesis import strategies as st


async def test_as_many_as_the_limit_are_let_in_and_a_place_that_is_left_is_free():
    door = Admission(2, retry_after=3.0)
    door.enter()
    door.enter()
    with pytest.raises(Overloaded) as refused:
        door.enter()
    assert (refused.value.limit, refused.value.retry_after, door.count) == (2, 3.0, 2)
    door.leave()
    door.enter()
    assert door.count == 2


async def test_a_closed_door_lets_nobody_in_and_waits_for_those_inside():
    door = Admission(2)
    await door.idle()
    door.enter()
    door.close()
    with pytest.raises(ShuttingDown):
        door.enter()
    idle = asyncio.ensure_future(door.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    door.leave()
    await idle
    assert (door.count, door.closed) == (0, True)


@given(st.floats(0, 1e6) | st.none(), st.floats(0.001, 1e4), st.floats(0.001, 1e4))
def test_a_call_gets_what_it_asked_for_up_to_the_ceiling_or_the_default(asked, default, ceiling):
    allowed = Deadlines(default, ceiling).of(asked)
    assert allowed == (default if asked is None else min(asked, ceiling))


async def test_what_remains_shrinks_never_below_nothing_and_outgoing_calls_get_less():
    assert (deadline.remaining(), deadline.outgoing(), deadline.outgoing(7)) == (None, None, 7)
    deadline.enter_deadline(10)
    assert 9 < deadline.remaining() <= 10
    assert 9 < deadline.outgoing() <= 10 - deadline.MARGIN
    assert deadline.outgoing(2) == 2
    deadline.enter_deadline(-1)
    assert (deadline.remaining(), deadline.outgoing()) == (0, 0)
    deadline.enter_deadline(None)
    assert deadline.remaining() is None


async def test_a_task_inherits_the_deadline_and_cannot_change_its_parents():
    deadline.enter_deadline(10)

    async def child():
        inherited = deadline.remaining()
        deadline.enter_deadline(1)
        return inherited

    assert 9 < await asyncio.create_task(child()) <= 10
    assert deadline.remaining() > 5
