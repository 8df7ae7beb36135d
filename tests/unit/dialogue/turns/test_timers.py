"""Timers are absolute, fire once, and have no effect if the person speaks first."""

from __future__ import annotations

import asyncio

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ACTIVE, SESSION_STATUS_ENDED

from tests.support.conditions import until
from tests.support.engine_cluster import reply_texts, turn_request
from tests.support.scripted_peers import Hold

TEN_MINUTES = 600.0


async def wait_until_ended(cluster, session):
    """Waits until the session has ended."""

    async def has_ended():
        return (await cluster.session(session)).status == SESSION_STATUS_ENDED

    await until(has_ended)


async def test_a_timer_fires_when_it_is_due(cluster):
    session = await cluster.open_session("order")
    due, following = await cluster.store.due_timers(cluster.clock(), 10)
    assert due == ()
    assert TEN_MINUTES - 5 < following - cluster.clock() <= TEN_MINUTES
    cluster.clock.offset = TEN_MINUTES + 1
    await wait_until_ended(cluster, session)
    turns = await cluster.turns(session)
    assert turns[-1].input_event.name == "timer.fired"
    assert reply_texts(turns[-1]) == ["Come back any time."]


async def test_a_timer_that_was_due_while_no_engine_ran_fires_once_afterwards(cluster):
    session = await cluster.open_session("order")
    await cluster.kill(cluster.newest)
    cluster.clock.offset = TEN_MINUTES + 1
    await asyncio.gather(cluster.join(), cluster.join())
    await wait_until_ended(cluster, session)
    assert [turn.input_event.name for turn in await cluster.turns(session)] == [
        "session.started",
        "timer.fired",
    ]


async def test_a_clock_that_is_set_back_fires_nothing(cluster):
    session = await cluster.open_session("order")
    cluster.clock.offset = -3600.0
    assert reply_texts((await cluster.send(session, "what?")).turn)
    assert (await cluster.session(session)).status == SESSION_STATUS_ACTIVE


async def test_a_message_restarts_the_timer(cluster):
    session = await cluster.open_session("order")
    cluster.clock.offset = TEN_MINUTES - 60
    await cluster.send(session, "what?")
    cluster.clock.offset = TEN_MINUTES + 60
    due, following = await cluster.store.due_timers(cluster.clock(), 10)
    assert due == ()
    assert following > cluster.clock() + TEN_MINUTES - 180


async def test_a_timer_that_fires_during_a_turn_of_the_person_does_nothing(cluster):
    session = await cluster.open_session("order")
    selling = Hold()
    cluster.tools.add("shop.buy", lambda _: _sold_out(selling), "once")
    first = await cluster.engine.accept(turn_request(session, "3"))
    await selling.reached.wait()
    cluster.clock.offset = TEN_MINUTES + 1

    async def has_fired():
        return len(await cluster.turns(session)) == 3

    await until(has_fired)
    selling.go_on.set()
    assert reply_texts((await first.result()).turn) == ["Sold out.", "How many?"]
    third = cluster.engine.subscribe("acme", session.id, 3)
    assert reply_texts((await third.result()).turn) == []
    assert (await cluster.session(session)).state == "ask"


async def _sold_out(selling):
    await selling.wait()
    return {"ok": False}


async def test_a_session_that_ended_has_no_timers(cluster):
    session = await cluster.open_session("order")
    await cluster.send(session, "3")
    assert await cluster.store.due_timers(cluster.clock() + 10 * TEN_MINUTES, 10) == ((), None)


async def test_a_timer_that_cannot_be_fired_does_not_delay_others(cluster, monkeypatch):
    bad, good = await cluster.open_session("order"), await cluster.open_session("order")
    await cluster.store.quarantine(bad.id, "unreadable", cluster.clock())
    cluster.clock.offset = TEN_MINUTES + 1
    await wait_until_ended(cluster, good)
