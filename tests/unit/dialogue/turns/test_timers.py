"""Timers are absolute, fire once, and lose against the person who speaks first."""

from __future__ import annotations

import asyncio

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ACTIVE, SESSION_STATUS_ENDED

from tests.support.scripted_peers import Hold
from tests.support.stage import said, wish

TEN_MINUTES = 600.0


async def ended(stage, session):
    """The session once it has ended."""
    async with asyncio.timeout(5):
        while (found := await stage.session(session)).status != SESSION_STATUS_ENDED:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def test_a_timer_fires_when_its_time_has_come(stage):
    session = await stage.begin("order")
    due, following = await stage.store.due_timers(stage.clock(), 10)
    assert due == ()
    assert TEN_MINUTES - 5 < following - stage.clock() <= TEN_MINUTES
    stage.clock.offset = TEN_MINUTES + 1
    await ended(stage, session)
    turns = await stage.turns(session)
    assert turns[-1].input_event.name == "timer.fired"
    assert said(turns[-1]) == ["Come back any time."]


async def test_a_timer_that_was_due_while_nobody_served_fires_once_afterwards(stage):
    session = await stage.begin("order")
    await stage.kill(stage.main)
    stage.clock.offset = TEN_MINUTES + 1
    await asyncio.gather(stage.join(), stage.join())
    await ended(stage, session)
    assert [turn.input_event.name for turn in await stage.turns(session)] == [
        "session.started",
        "timer.fired",
    ]


async def test_a_clock_that_is_set_back_fires_nothing(stage):
    session = await stage.begin("order")
    stage.clock.offset = -3600.0
    assert said((await stage.send(session, "what?")).turn)
    assert (await stage.session(session)).status == SESSION_STATUS_ACTIVE


async def test_a_message_sets_the_timer_anew(stage):
    session = await stage.begin("order")
    stage.clock.offset = TEN_MINUTES - 60
    await stage.send(session, "what?")
    stage.clock.offset = TEN_MINUTES + 60
    due, following = await stage.store.due_timers(stage.clock(), 10)
    assert due == ()
    assert following > stage.clock() + TEN_MINUTES - 180


async def test_a_timer_that_fires_while_the_person_is_answered_does_nothing(stage):
    session = await stage.begin("order")
    selling = Hold()
    stage.tools.add("shop.buy", lambda _: _sold_out(selling), "once")
    first = await stage.engine.accept(wish(session, "3"))
    await selling.reached.wait()
    stage.clock.offset = TEN_MINUTES + 1
    async with asyncio.timeout(5):
        while len(await stage.turns(session)) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    selling.go_on.set()
    assert said((await first.result()).turn) == ["Sold out.", "How many?"]
    third = stage.engine.follow("acme", session.id, 3)
    assert said((await third.result()).turn) == []
    assert (await stage.session(session)).state == "ask"


async def _sold_out(selling):
    await selling.wait()
    return {"ok": False}


async def test_a_session_that_ended_has_no_timers(stage):
    session = await stage.begin("order")
    await stage.send(session, "3")
    assert await stage.store.due_timers(stage.clock() + 10 * TEN_MINUTES, 10) == ((), None)


async def test_a_timer_of_one_session_that_cannot_be_fired_keeps_no_other_back(stage, monkeypatch):
    bad, good = await stage.begin("order"), await stage.begin("order")
    await stage.store.quarantine(bad.id, "unreadable", stage.clock())
    stage.clock.offset = TEN_MINUTES + 1
    await ended(stage, good)
