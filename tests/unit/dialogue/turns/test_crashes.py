"""A process dies at any point of a turn: the turn comes to its end all the same, and nothing is twice."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE, TURN_STATUS_FAILED
from clawdbot_dialogue.core.errors import TurnNotFound

from tests.support.scripted_peers import Hold, call
from tests.support.stage import TENANT, kinds, said, wish

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


async def fallen(stage, session, given, request_id="r1"):
    """Has a turn begun, and the process die where the store was told to stall."""
    caller = asyncio.create_task(stage.main.send(session, given, request_id=request_id))
    await stage.store.stalled.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    return await stage.crash()


@pytest.mark.parametrize(("point", "replies", "calls"), POINTS)
async def test_a_call_with_effect_once_is_made_at_most_once(stage, point, replies, calls):
    session = await stage.begin("order")
    stage.store.stall(*point[:2], done=point[2])
    await fallen(stage, session, "3")
    finished = await stage.send(session, "3", request_id="r1")
    assert finished.turn.status == TURN_STATUS_DONE
    assert said(finished.turn) == replies
    assert len(stage.tools.calls) == calls
    (record,) = finished.turn.tool_calls
    assert record.outcome_unknown is (replies is UNKNOWN)
    assert [turn.number for turn in await stage.turns(session)] == [1, 2]
    assert (await stage.session(session)).revision == 2


async def test_a_call_that_was_under_way_is_reported_as_unknown(stage):
    session = await stage.begin("order")
    selling = Hold()
    stage.tools.add("shop.buy", selling, "once")
    await stage.engine.accept(wish(session, "3", request_id="r1"))
    await selling.reached.wait()
    await stage.crash()
    finished = await stage.send(session, "3", request_id="r1")
    assert said(finished.turn) == UNKNOWN
    assert len(stage.tools.calls) == 1
    events = await stage.events(session, "3", request_id="r1")
    assert kinds(events)[2:5] == ["state_entered", "tool_call_started", "tool_call_finished"]


async def test_what_was_not_accepted_is_not_there(stage):
    session = await stage.begin("order")
    stage.store.stall("accept_turn", done=False)
    await fallen(stage, session, "3")
    with pytest.raises(TurnNotFound):
        await stage.engine.number_of(TENANT, session.id, "r1")
    assert said((await stage.send(session, "3", request_id="r1")).turn) == THANKS


@pytest.mark.parametrize("effect", ["none", "repeatable"])
async def test_a_call_that_may_be_repeated_is_made_again_under_the_same_name(stage, effect):
    session = await stage.begin()
    stage.tools.add("shop.buy", {"ok": True}, effect)
    stage.gateway.scripts.append([call("shop.buy", "b", n=1)])
    stage.gateway.scripts.append(["Bought."])
    stage.store.stall("write_journal", 2, done=False)
    await fallen(stage, session, "please")
    finished = await stage.send(session, "please", request_id="r1")
    assert said(finished.turn) == ["Bought."]
    first, second = stage.tools.calls
    assert first.request_id == second.request_id
    assert first.arguments == second.arguments
    assert not finished.turn.tool_calls[0].outcome_unknown


@pytest.mark.parametrize(("number", "done"), [(1, True), (2, False), (2, True)])
async def test_a_model_that_asked_for_tools_is_not_asked_again(stage, number, done):
    session = await stage.begin()
    stage.gateway.scripts.append(["Let me see. ", call("clock.now", "a"), call("shop.buy", "b")])
    stage.gateway.scripts.append(["There you are."])
    stage.store.stall("write_journal", number, done=done)
    await fallen(stage, session, "please")
    finished = await stage.send(session, "please", request_id="r1")
    assert finished.turn.status == TURN_STATUS_DONE
    assert said(finished.turn) == ["Let me see. ", "There you are."]
    assert len(stage.gateway.requests) == 2
    assert [each.call.id for each in finished.turn.tool_calls] == ["a", "b"]
    assert stage.tools.names().count("shop.buy") <= 1


async def test_words_that_were_shown_and_not_kept_are_said_anew(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append(["Half a sen", hold])
    stage.gateway.scripts.append(["A whole sentence."])
    await stage.engine.accept(wish(session, "hello", request_id="r1"))
    await hold.reached.wait()
    await stage.crash()
    events = await stage.events(session, "hello", request_id="r1")
    assert said(events[-1].turn_finished.turn) == ["A whole sentence."]
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    shown = (await stage.store.recent_messages(session.id, 10))[-1]
    assert shown.parts[0].text == "A whole sentence."


async def test_every_turn_in_the_inbox_is_done_after_a_crash_in_order(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append([hold])
    for n in range(3):
        await stage.engine.accept(wish(session, f"say {n}", request_id=f"r{n}"))
    await hold.reached.wait()
    await stage.crash()
    last = await stage.send(session, "say 2", request_id="r2")
    assert last.turn.number == 3
    assert [said(turn) for turn in await stage.turns(session)] == [
        ["Echo: say 0"],
        ["Echo: say 1"],
        ["Echo: say 2"],
    ]


async def test_an_engine_takes_a_dead_ones_turn_over_while_somebody_follows_it_there(stage):
    """The caller is with another process than the one that does the turn, and dies."""
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append([hold])
    dying = stage.main
    await dying.engine.accept(wish(session, "hello", request_id="r1"))
    await hold.reached.wait()
    other = await stage.join()
    following = asyncio.create_task(other.events(session, "hello", request_id="r1"))
    await stage.kill(dying)
    assert said((await following)[-1].turn_finished.turn) == ["Echo: hello"]


async def test_a_turn_of_an_engine_whose_death_is_not_known_is_taken_over_when_its_claim_runs_out(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append([hold])
    frozen = stage.main
    await frozen.engine.accept(wish(session, "hello", request_id="r1"))
    await hold.reached.wait()
    await frozen.engine._tasks.stop()
    other = await stage.join()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await other.send(session, "hello", request_id="r1")
    stage.clock.offset = stage.limits.lease + 1
    assert said((await other.send(session, "hello", request_id="r1")).turn) == ["Echo: hello"]


async def test_an_engine_that_lost_its_claim_commits_nothing_and_tells_who_follows(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append([hold, "slow"])
    stage.gateway.scripts.append(["quick"])
    slow = stage.main
    followed = await slow.engine.accept(wish(session, "hello", request_id="r1"))
    await hold.reached.wait()
    slow.engine._caretaker.renew = _never  # as if it were frozen: its claim runs out
    stage.register.dead.add(slow.owners.me)
    quick = await stage.join()
    finished = await quick.send(session, "hello", request_id="r1")
    assert said(finished.turn) == ["quick"]
    hold.go_on.set()
    assert (await followed.result()).turn == finished.turn
    assert (await stage.session(session)).revision == 1


async def _never() -> None:
    return None


async def test_a_turn_that_kills_every_process_is_given_up(stage):
    session = await stage.begin()
    for n in range(stage.limits.attempts):
        hold = Hold()
        stage.gateway.scripts.append([hold])
        if n == 0:
            await stage.engine.accept(wish(session, "deadly", request_id="r1"))
        await hold.reached.wait()
        await stage.crash()
    finished = await stage.send(session, "deadly", request_id="r1")
    assert finished.turn.status == TURN_STATUS_FAILED
    assert finished.turn.error.reason == "TURN_GIVEN_UP"
    assert said((await stage.send(session, "harmless")).turn) == ["Echo: harmless"]


async def test_a_turn_given_up_still_tells_what_may_have_been_done(stage):
    session = await stage.begin("order")
    stage.store.stall("commit", done=False)
    await stage.engine.accept(wish(session, "3", request_id="r1"))
    for _ in range(stage.limits.attempts - 1):
        await stage.store.stalled.wait()
        await stage.crash(("commit", 1, False))
    await stage.store.stalled.wait()
    await stage.crash()
    finished = await stage.send(session, "3", request_id="r1")
    assert finished.turn.error.reason == "TURN_GIVEN_UP"
    (record,) = finished.turn.tool_calls
    assert record.call.name == "shop.buy"
    assert not record.outcome_unknown
    assert len(stage.tools.calls) == 1


async def test_a_wish_to_cancel_outlives_the_process_that_was_to_heed_it(stage):
    session = await stage.begin("order")
    stage.store.stall("write_journal", 1, done=True)
    first = await stage.engine.accept(wish(session, "3", request_id="r1"))
    await stage.store.stalled.wait()
    dying, other = stage.main, await stage.join()
    cancelling = asyncio.create_task(other.engine.cancel(first.name))
    await stage.kill(dying)
    finished = await cancelling
    assert finished.turn.status == TURN_STATUS_CANCELLED
    (record,) = finished.turn.tool_calls
    assert record.outcome_unknown
    assert stage.tools.calls == []


async def test_what_was_done_once_before_a_cancel_is_not_done_again_by_the_next_turn(stage):
    """The result was known and only the commit was missing: the next turn has it."""
    session = await stage.begin("order")
    stage.flow("""
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
    session = await stage.begin("slow")
    wrapping = Hold()
    stage.tools.add("clock.now", wrapping)
    first = await stage.engine.accept(wish(session, "3"))
    await wrapping.reached.wait()
    await stage.engine.cancel(first.name)
    stage.tools.add("clock.now", {"time": "12:00"})
    assert said((await stage.send(session, "3")).turn) == ["Done."]
    assert stage.tools.names() == ["shop.buy", "clock.now", "clock.now"]


async def test_stopping_in_order_leaves_a_long_turn_to_whoever_comes_next(stage):
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append([hold])
    await stage.engine.accept(wish(session, "hello", request_id="r1"))
    await hold.reached.wait()
    leaving = stage.main
    leaving.engine._limits = type(stage.limits)(grace=0.0)
    await leaving.engine.stop()
    assert [each.owner for each in await stage.store.orphaned_sessions()] == [""]
    other = await stage.join()
    assert said((await other.send(session, "hello", request_id="r1")).turn) == ["Echo: hello"]
