"""A process dies at any point of a turn: the turn comes to its end all the same, and nothing is twice."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE, TURN_STATUS_FAILED
from clawdbot_dialogue.core.errors import TurnNotFound

from tests.support.engine_cluster import TENANT, event_kinds, reply_texts, turn_request
from tests.support.scripted_peers import Hold, call

THANKS = ["Thank you."]
UNKNOWN = ["I do not know whether that was bought.", "How many?"]

POINTS = [
    # where the process dies (method, which call of it, done), what is said in the end, how often the tool ran
    (("accept_turn", 1, True), THANKS, 1),
    (("read_journal", 1, False), THANKS, 1),
    (("read_journal", 1, True), THANKS, 1),
    (("write_journal", 1, False), THANKS, 1),
    (("write_journal", 1, True), UNKNOWN, 0),
    (("write_journal", 2, False), UNKNOWN, 1),
    (("write_journal", 2, True), THANKS, 1),
    (("commit", 1, False), THANKS, 1),
    (("commit", 1, True), THANKS, 1),
]


async def fallen(cluster, session, given, request_id="r1"):
    """Has a turn begun, and the process die where the store was told to stall."""
    caller = asyncio.create_task(cluster.newest.send(session, given, request_id=request_id))
    await cluster.store.stalled.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    return await cluster.crash()


@pytest.mark.parametrize(("point", "replies", "calls"), POINTS)
async def test_a_call_with_effect_once_is_made_at_most_once(cluster, point, replies, calls):
    session = await cluster.open_session("order")
    cluster.store.stall(*point[:2], done=point[2])
    await fallen(cluster, session, "3")
    finished = await cluster.send(session, "3", request_id="r1")
    assert finished.turn.status == TURN_STATUS_DONE
    assert reply_texts(finished.turn) == replies
    assert len(cluster.tools.calls) == calls
    (record,) = finished.turn.tool_calls
    assert record.outcome_unknown is (replies is UNKNOWN)
    assert [turn.number for turn in await cluster.turns(session)] == [1, 2]
    assert (await cluster.session(session)).revision == 2


async def test_a_call_that_was_under_way_is_reported_as_unknown(cluster):
    session = await cluster.open_session("order")
    selling = Hold()
    cluster.tools.add("shop.buy", selling, "once")
    await cluster.engine.accept(turn_request(session, "3", request_id="r1"))
    await selling.reached.wait()
    await cluster.crash()
    finished = await cluster.send(session, "3", request_id="r1")
    assert reply_texts(finished.turn) == UNKNOWN
    assert len(cluster.tools.calls) == 1
    events = await cluster.events(session, "3", request_id="r1")
    assert event_kinds(events)[2:5] == ["state_entered", "tool_call_started", "tool_call_finished"]


async def test_what_was_not_accepted_is_not_there(cluster):
    session = await cluster.open_session("order")
    cluster.store.stall("accept_turn", done=False)
    await fallen(cluster, session, "3")
    with pytest.raises(TurnNotFound):
        await cluster.engine.find_turn_number(TENANT, session.id, "r1")
    assert reply_texts((await cluster.send(session, "3", request_id="r1")).turn) == THANKS


@pytest.mark.parametrize("effect", ["none", "repeatable"])
async def test_a_call_that_may_be_repeated_is_made_again_under_the_same_name(cluster, effect):
    session = await cluster.open_session()
    cluster.tools.add("shop.buy", {"ok": True}, effect)
    cluster.gateway.scripts.append([call("shop.buy", "b", n=1)])
    cluster.gateway.scripts.append(["Bought."])
    cluster.store.stall("write_journal", 2, done=False)
    await fallen(cluster, session, "please")
    finished = await cluster.send(session, "please", request_id="r1")
    assert reply_texts(finished.turn) == ["Bought."]
    first, second = cluster.tools.calls
    assert first.request_id == second.request_id
    assert first.arguments == second.arguments
    assert not finished.turn.tool_calls[0].outcome_unknown


@pytest.mark.parametrize(("number", "done"), [(1, True), (2, False), (2, True)])
async def test_a_model_that_asked_for_tools_is_not_asked_again(cluster, number, done):
    session = await cluster.open_session()
    cluster.gateway.scripts.append(["Let me see. ", call("clock.now", "a"), call("shop.buy", "b")])
    cluster.gateway.scripts.append(["There you are."])
    cluster.store.stall("write_journal", number, done=done)
    await fallen(cluster, session, "please")
    finished = await cluster.send(session, "please", request_id="r1")
    assert finished.turn.status == TURN_STATUS_DONE
    assert reply_texts(finished.turn) == ["Let me see. ", "There you are."]
    assert len(cluster.gateway.requests) == 2
    assert [each.call.id for each in finished.turn.tool_calls] == ["a", "b"]
    assert cluster.tools.names().count("shop.buy") <= 1


async def test_words_that_were_shown_and_not_kept_are_said_anew(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append(["Half a sen", hold])
    cluster.gateway.scripts.append(["A whole sentence."])
    await cluster.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    await cluster.crash()
    events = await cluster.events(session, "hello", request_id="r1")
    assert reply_texts(events[-1].turn_finished.turn) == ["A whole sentence."]
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    shown = (await cluster.store.recent_messages(session.id, 10))[-1]
    assert shown.parts[0].text == "A whole sentence."


async def test_every_turn_in_the_inbox_is_done_after_a_crash_in_order(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    for n in range(3):
        await cluster.engine.accept(turn_request(session, f"say {n}", request_id=f"r{n}"))
    await hold.reached.wait()
    await cluster.crash()
    last = await cluster.send(session, "say 2", request_id="r2")
    assert last.turn.number == 3
    assert [reply_texts(turn) for turn in await cluster.turns(session)] == [
        ["Echo: say 0"],
        ["Echo: say 1"],
        ["Echo: say 2"],
    ]


async def test_an_engine_takes_a_dead_ones_turn_over_while_somebody_follows_it_there(cluster):
    """The caller is with another process than the one that does the turn, and dies."""
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    dying = cluster.newest
    await dying.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    other = await cluster.join()
    following = asyncio.create_task(other.events(session, "hello", request_id="r1"))
    await cluster.kill(dying)
    assert reply_texts((await following)[-1].turn_finished.turn) == ["Echo: hello"]


async def test_a_turn_of_an_engine_whose_death_is_not_known_is_taken_over_when_its_claim_runs_out(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    frozen = cluster.newest
    await frozen.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    await frozen.engine._supervisor.stop()
    other = await cluster.join()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await other.send(session, "hello", request_id="r1")
    cluster.clock.offset = cluster.limits.lease_seconds + 1
    assert reply_texts((await other.send(session, "hello", request_id="r1")).turn) == ["Echo: hello"]


async def test_an_engine_that_lost_its_claim_commits_nothing_and_tells_who_follows(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold, "slow"])
    cluster.gateway.scripts.append(["quick"])
    slow = cluster.newest
    followed = await slow.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    slow.engine._maintenance.renew_leases = _never  # as if it were frozen: its claim runs out
    cluster.owners.dead.add(slow.owners.me)
    quick = await cluster.join()
    finished = await quick.send(session, "hello", request_id="r1")
    assert reply_texts(finished.turn) == ["quick"]
    hold.go_on.set()
    assert (await followed.result()).turn == finished.turn
    assert (await cluster.session(session)).revision == 1


async def _never() -> None:
    return None


async def test_a_turn_that_kills_every_process_is_given_up(cluster):
    session = await cluster.open_session()
    for n in range(cluster.limits.max_attempts):
        hold = Hold()
        cluster.gateway.scripts.append([hold])
        if n == 0:
            await cluster.engine.accept(turn_request(session, "deadly", request_id="r1"))
        await hold.reached.wait()
        await cluster.crash()
    finished = await cluster.send(session, "deadly", request_id="r1")
    assert finished.turn.status == TURN_STATUS_FAILED
    assert finished.turn.error.reason == "TURN_GIVEN_UP"
    assert reply_texts((await cluster.send(session, "harmless")).turn) == ["Echo: harmless"]


async def test_a_turn_given_up_still_tells_what_may_have_been_done(cluster):
    session = await cluster.open_session("order")
    cluster.store.stall("commit", done=False)
    await cluster.engine.accept(turn_request(session, "3", request_id="r1"))
    for _ in range(cluster.limits.max_attempts - 1):
        await cluster.store.stalled.wait()
        await cluster.crash(("commit", 1, False))
    await cluster.store.stalled.wait()
    await cluster.crash()
    finished = await cluster.send(session, "3", request_id="r1")
    assert finished.turn.error.reason == "TURN_GIVEN_UP"
    (record,) = finished.turn.tool_calls
    assert record.call.name == "shop.buy"
    assert not record.outcome_unknown
    assert len(cluster.tools.calls) == 1


async def test_a_wish_to_cancel_outlives_the_process_that_was_to_heed_it(cluster):
    session = await cluster.open_session("order")
    cluster.store.stall("write_journal", 1, done=True)
    first = await cluster.engine.accept(turn_request(session, "3", request_id="r1"))
    await cluster.store.stalled.wait()
    dying, other = cluster.newest, await cluster.join()
    cancelling = asyncio.create_task(other.engine.cancel(first.ref))
    await cluster.kill(dying)
    finished = await cancelling
    assert finished.turn.status == TURN_STATUS_CANCELLED
    (record,) = finished.turn.tool_calls
    assert record.outcome_unknown
    assert cluster.tools.calls == []


async def test_what_was_done_once_before_a_cancel_is_not_done_again_by_the_next_turn(cluster):
    """The result was known and only the commit was missing: the next turn has it."""
    session = await cluster.open_session("order")
    cluster.flow("""
flow: slow
version: 1
description: Buys, then talks
slots:
  count: {type: integer, ask: How many?}
states:
  ask: {collect: [count], next: [{to: buy}]}
  buy:
    call: {tool: shop.buy, args: {count: "${slots.count}"}, effect: once}
    next: [{if: result.ok, to: wrap}, {on_error: any, to: ask, clear: [count]}, {to: ask, clear: [count]}]
  wrap:
    call: {tool: clock.now, effect: none}
    next: [{on_error: any, to: done}, {to: done}]
  done: {say: Done., end: true}
""")
    session = await cluster.open_session("slow")
    wrapping = Hold()
    cluster.tools.add("clock.now", wrapping)
    first = await cluster.engine.accept(turn_request(session, "3"))
    await wrapping.reached.wait()
    await cluster.engine.cancel(first.ref)
    cluster.tools.add("clock.now", {"time": "12:00"})
    assert reply_texts((await cluster.send(session, "3")).turn) == ["Done."]
    assert cluster.tools.names() == ["shop.buy", "clock.now", "clock.now"]


async def test_stopping_in_order_leaves_a_long_turn_to_whoever_comes_next(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    await cluster.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    leaving = cluster.newest
    leaving.engine._limits = type(cluster.limits)(shutdown_grace=0.0)
    await leaving.engine.stop()
    assert [each.owner for each in await cluster.store.pending_sessions()] == [""]
    other = await cluster.join()
    assert reply_texts((await other.send(session, "hello", request_id="r1")).turn) == ["Echo: hello"]
