"""A retry with the same request_id: during the turn, after it, on another engine, with another input."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE
from clawdbot_dialogue.core.errors import RequestIdReused

from tests.support.conditions import until
from tests.support.engine_cluster import event_kinds, reply_texts, turn_request
from tests.support.scripted_peers import Hold


def unjoined(events):
    """The events without the field that tells a caller that it joined the turn."""
    for each in events:
        if each.HasField("turn_started"):
            each.turn_started.joined = False
    return events


async def test_a_retry_after_the_end_returns_the_same_turn(cluster):
    session = await cluster.open_session()
    first = await cluster.send(session, "hello", request_id="r1")
    again = await cluster.send(session, "hello", request_id="r1")
    assert again.turn == first.turn
    assert again.session == first.session
    assert len(cluster.gateway.requests) == 1


async def test_a_retry_after_the_end_gets_the_same_events(cluster):
    session = await cluster.open_session("order")
    first = await cluster.events(session, "3", request_id="r1")
    again = await cluster.events(session, "3", request_id="r1")
    assert again[0].turn_started.joined
    assert not first[0].turn_started.joined
    assert unjoined(again) == first
    assert cluster.tools.names() == ["shop.buy"]


async def test_a_retry_during_a_turn_joins_it_from_its_first_event(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append(["one ", hold, "two"])
    first = asyncio.create_task(cluster.events(session, "hello", request_id="r1"))
    await hold.reached.wait()
    second = asyncio.create_task(cluster.events(session, "hello", request_id="r1"))
    joined = await cluster.engine.accept(turn_request(session, "hello", request_id="r1"))
    hold.go_on.set()
    received = await first
    assert unjoined(await second) == received
    assert (await joined.result()).turn == received[-1].turn_finished.turn
    assert len(cluster.gateway.requests) == 1


async def test_a_caller_that_reconnects_misses_no_event(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append(["one ", hold, "two"])
    broken = cluster.engine.stream(turn_request(session, "hello", request_id="r1"))
    seen = [await anext(broken), await anext(broken)]
    await broken.aclose()
    await hold.reached.wait()
    again = asyncio.create_task(cluster.events(session, "hello", request_id="r1"))
    hold.go_on.set()
    received = unjoined(await again)
    assert received[:2] == seen
    assert reply_texts(received[-1].turn_finished.turn) == ["one two"]
    assert event_kinds(received) == ["turn_started", "text_delta", "text_delta", "turn_finished"]


async def test_the_same_id_with_another_input_is_refused(cluster):
    session = await cluster.open_session()
    await cluster.send(session, "hello", request_id="r1")
    with pytest.raises(RequestIdReused):
        await cluster.send(session, "something else", request_id="r1")
    assert len(await cluster.turns(session)) == 1


async def test_inputs_without_a_request_id_are_separate_turns(cluster):
    session = await cluster.open_session()
    await cluster.send(session, "hello")
    await cluster.send(session, "hello")
    assert len(await cluster.turns(session)) == 2


async def test_a_retry_joins_a_turn_of_another_engine(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold, "done"])
    first = asyncio.create_task(cluster.newest.send(session, "hello", request_id="r1"))
    await hold.reached.wait()
    other = await cluster.join()
    second = asyncio.create_task(other.events(session, "hello", request_id="r1"))
    cancelled_waiter = asyncio.create_task(other.send(session, "hello", request_id="r1"))
    await asyncio.sleep(0)
    cancelled_waiter.cancel()
    hold.go_on.set()
    turn = (await first).turn
    assert turn.status == TURN_STATUS_DONE
    assert (await second)[-1].turn_finished.turn == turn
    assert len(cluster.gateway.requests) == 1


async def test_a_turn_runs_on_when_its_caller_disconnects(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append(["Still ", hold, "here"])
    caller = asyncio.create_task(cluster.send(session, "hello", request_id="r1"))
    await hold.reached.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    hold.go_on.set()
    finished = await cluster.send(session, "hello", request_id="r1")
    assert reply_texts(finished.turn) == ["Still here"]
    assert len(cluster.gateway.requests) == 1


async def test_a_turn_with_cancel_on_disconnect_is_cancelled_with_its_caller(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append(["Half a sen", hold])
    caller = asyncio.create_task(cluster.send(session, "hello", request_id="r1", cancel_on_disconnect=True))
    await hold.reached.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    finished = await cluster.send(session, "hello", request_id="r1", cancel_on_disconnect=True)
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert reply_texts(finished.turn) == ["Half a sen"]
    assert cluster.gateway.open == 0


async def test_a_turn_runs_on_while_one_of_its_callers_stays(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold, "whole"])
    callers = [
        asyncio.create_task(cluster.send(session, "hello", request_id="r1", cancel_on_disconnect=True))
        for _ in range(2)
    ]
    await hold.reached.wait()
    await cluster.engine.accept(
        turn_request(session, "hello", request_id="r1")
    )  # a third caller, which stays
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    hold.go_on.set()
    finished = await cluster.send(session, "hello", request_id="r1", cancel_on_disconnect=True)
    assert reply_texts(finished.turn) == ["whole"]


async def test_a_recovered_turn_with_cancel_on_disconnect_is_cancelled_with_its_last_caller(cluster):
    """The caller followed it in another process, which has taken it over since."""
    session = await cluster.open_session()
    first, second = Hold(), Hold()
    cluster.gateway.scripts.append([first])
    cluster.gateway.scripts.append(["Half a sen", second])
    dying = cluster.newest
    request = turn_request(session, "hello", request_id="r1", cancel_on_disconnect=True)
    ref = (await dying.engine.accept(request)).ref
    await first.reached.wait()
    other = await cluster.join()
    caller = asyncio.create_task(other.engine.send(request))
    await until(lambda: "find_turn" in other.store.counted)
    await cluster.kill(dying)
    await second.reached.wait()
    # Until the caller has found that the turn runs here.
    await until(lambda: other.engine._leases.get_turn(session.id, ref.number).subscribers)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    async with asyncio.timeout(20):
        finished = await other.engine.send(request)
    assert finished.turn.status == TURN_STATUS_CANCELLED


async def test_a_gate_does_not_refuse_a_retry(cluster):
    """The turn was allowed; a retry that asks for its end is not a new turn."""
    session = await cluster.open_session()
    first = await cluster.send(session, "hello", request_id="r1")
    cluster.hooks.refusal = PermissionError("too many")
    assert (await cluster.send(session, "hello", request_id="r1")).turn == first.turn
    with pytest.raises(PermissionError):
        await cluster.send(session, "hello", request_id="r2")
