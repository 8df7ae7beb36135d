"""A request_id names a turn: during it, after it, on another engine, with another body."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE
from clawdbot_dialogue.core.errors import RequestIdReused

from tests.support.scripted_peers import Hold
from tests.support.stage import kinds, said, wish


def unjoined(events):
    """The events without the mark that tells a caller that it joined."""
    for each in events:
        if each.HasField("turn_started"):
            each.turn_started.joined = False
    return events


async def test_a_retry_after_the_end_returns_the_same_turn(stage):
    session = await stage.begin()
    first = await stage.send(session, "hello", request_id="r1")
    again = await stage.send(session, "hello", request_id="r1")
    assert again.turn == first.turn
    assert again.session == first.session
    assert len(stage.gateway.requests) == 1


async def test_a_retry_after_the_end_is_told_the_same_events(stage):
    session = await stage.begin("order")
    first = await stage.events(session, "3", request_id="r1")
    again = await stage.events(session, "3", request_id="r1")
    assert again[0].turn_started.joined
    assert not first[0].turn_started.joined
    assert unjoined(again) == first
    assert stage.tools.names() == ["shop.buy"]


async def test_a_retry_during_a_turn_joins_it_from_its_first_event(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append(["one ", hold, "two"])
    first = asyncio.create_task(stage.events(session, "hello", request_id="r1"))
    await hold.reached.wait()
    second = asyncio.create_task(stage.events(session, "hello", request_id="r1"))
    joined = await stage.engine.accept(wish(session, "hello", request_id="r1"))
    hold.go_on.set()
    told = await first
    assert unjoined(await second) == told
    assert (await joined.result()).turn == told[-1].turn_finished.turn
    assert len(stage.gateway.requests) == 1


async def test_a_caller_that_breaks_off_and_comes_back_misses_nothing(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append(["one ", hold, "two"])
    broken = stage.engine.stream(wish(session, "hello", request_id="r1"))
    seen = [await anext(broken), await anext(broken)]
    await broken.aclose()
    await hold.reached.wait()
    again = asyncio.create_task(stage.events(session, "hello", request_id="r1"))
    hold.go_on.set()
    told = unjoined(await again)
    assert told[:2] == seen
    assert said(told[-1].turn_finished.turn) == ["one two"]
    assert kinds(told) == ["turn_started", "text_delta", "text_delta", "turn_finished"]


async def test_the_same_id_with_another_input_is_refused(stage):
    session = await stage.begin()
    await stage.send(session, "hello", request_id="r1")
    with pytest.raises(RequestIdReused):
        await stage.send(session, "something else", request_id="r1")
    assert len(await stage.turns(session)) == 1


async def test_inputs_without_a_request_id_are_turns_of_their_own(stage):
    session = await stage.begin()
    await stage.send(session, "hello")
    await stage.send(session, "hello")
    assert len(await stage.turns(session)) == 2


async def test_a_retry_reaches_a_turn_that_another_engine_does(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append([hold, "done"])
    first = asyncio.create_task(stage.main.send(session, "hello", request_id="r1"))
    await hold.reached.wait()
    other = await stage.join()
    second = asyncio.create_task(other.events(session, "hello", request_id="r1"))
    cancelled_waiter = asyncio.create_task(other.send(session, "hello", request_id="r1"))
    await asyncio.sleep(0)
    cancelled_waiter.cancel()
    hold.go_on.set()
    turn = (await first).turn
    assert turn.status == TURN_STATUS_DONE
    assert (await second)[-1].turn_finished.turn == turn
    assert len(stage.gateway.requests) == 1


async def test_a_turn_goes_on_when_its_caller_goes_away(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append(["Still ", hold, "here"])
    caller = asyncio.create_task(stage.send(session, "hello", request_id="r1"))
    await hold.reached.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    hold.go_on.set()
    finished = await stage.send(session, "hello", request_id="r1")
    assert said(finished.turn) == ["Still here"]
    assert len(stage.gateway.requests) == 1


async def test_a_turn_is_cancelled_with_its_caller_where_that_was_wanted(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append(["Half a sen", hold])
    caller = asyncio.create_task(stage.send(session, "hello", request_id="r1", cancels=True))
    await hold.reached.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    finished = await stage.send(session, "hello", request_id="r1", cancels=True)
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert said(finished.turn) == ["Half a sen"]
    assert stage.gateway.open == 0


async def test_the_last_of_several_callers_takes_the_turn_along(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append([hold, "whole"])
    callers = [
        asyncio.create_task(stage.send(session, "hello", request_id="r1", cancels=True)) for _ in range(2)
    ]
    await hold.reached.wait()
    await stage.engine.accept(wish(session, "hello", request_id="r1"))  # a third one, that stays
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    hold.go_on.set()
    finished = await stage.send(session, "hello", request_id="r1", cancels=True)
    assert said(finished.turn) == ["whole"]


async def test_a_retry_that_a_gate_refuses_is_let_in_all_the_same(stage):
    """The turn was let in; asking for its end again is no new turn."""
    session = await stage.begin()
    first = await stage.send(session, "hello", request_id="r1")
    stage.hooks.refusal = PermissionError("too many")
    assert (await stage.send(session, "hello", request_id="r1")).turn == first.turn
    with pytest.raises(PermissionError):
        await stage.send(session, "hello", request_id="r2")
