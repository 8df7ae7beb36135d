"""The lease table: which sessions this process leases, and which of their turns run or wait here."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_dialogue.core.errors import TurnMoved
from clawdbot_dialogue.core.sessions.records import InboxTurn, Lease, TurnResult, TurnTask
from clawdbot_dialogue.core.turns.lease_table import LeaseTable

from tests.support.scripted_peers import OwnerRegistry

SESSION = "ses_1"


@pytest.fixture
def leases():
    """A lease table at the time 100, whose leases last 30 seconds."""
    return LeaseTable(OwnerRegistry().register(), lambda: 100.0, 30.0)


def granted(token: int = 1, number: int = 1) -> TurnTask:
    """A lease, with the turn to run under it."""
    return TurnTask(Lease(SESSION, token), Session(id=SESSION), "{}", InboxTurn(Turn(number=number)))


async def test_a_lease_request_names_this_process_and_when_the_lease_expires(leases):
    request = leases.new_lease_request()
    assert (bool(request.owner), request.expires) == (True, 130.0)


async def test_a_session_is_held_from_its_lease_to_its_end(leases):
    session = leases.add(granted())
    assert leases.held == [Lease(SESSION, 1)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(leases.wait_until_empty(), 0.01)
    leases.remove(session)
    assert leases.held == []
    await leases.wait_until_empty()


async def test_a_finished_turn_cannot_be_followed_and_the_next_one_can(leases):
    session = leases.add(granted())
    session.start(1)
    session.finish(TurnResult(Turn(number=1), Session(), ()))
    assert session.follow(1) is None
    assert session.follow(2) is leases.get_turn(SESSION, 2)


async def test_a_waiting_turn_that_was_cancelled_does_not_end_those_before_it(leases):
    session = leases.add(granted())
    session.follow(3)
    session.finish(TurnResult(Turn(number=3), Session(), ()))
    assert leases.get_turn(SESSION, 3) is None
    assert session.follow(2) is not None


async def test_a_later_lease_ends_the_earlier_attempt_and_takes_its_waiting_turns_over(leases):
    earlier = leases.add(granted())
    attempted, waiting = earlier.start(1), earlier.follow(2)
    leases.add(granted(token=2))
    assert attempted.cancel_scope.lease_lost
    with pytest.raises(TurnMoved):
        await attempted.result()
    assert leases.get_turn(SESSION, 1) is None
    assert leases.get_turn(SESSION, 2) is waiting


async def test_the_end_of_an_earlier_lease_leaves_the_later_one_alone(leases):
    earlier = leases.add(granted())
    earlier.start(1)
    later = leases.add(granted(token=2))
    running = later.start(1)
    leases.lose(earlier.lease)
    earlier.fail(TurnMoved(SESSION))
    leases.remove(earlier)
    assert leases.get_turn(SESSION, 1) is running
    assert not running.is_over
    assert not running.cancel_scope.cancel_called
