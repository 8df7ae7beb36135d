"""A second input while a turn is under way, cancelling, and order."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE, TURN_STATUS_RUNNING
from clawdbot_dialogue.core.errors import InboxFull, SessionBusy, SessionNotFound, TurnNotFound
from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy
from clawdbot_dialogue.core.turns.subscription import TurnRef

from tests.support.scripted_peers import Hold, call
from tests.support.stage import TENANT, said, wish


@pytest.fixture
async def busy(stage):
    """A session with a turn that has said something and waits for the model."""
    session = await stage.begin()
    hold = Hold()
    stage.gateway.scripts.append(["Well, ", hold, "that is it."])
    first = await stage.engine.accept(wish(session, "first"))
    await hold.reached.wait()
    return session, hold, first


async def test_an_input_waits_for_the_turn_before_it(stage, busy):
    session, hold, first = busy
    second = await stage.engine.accept(wish(session, "second"))
    assert (await stage.turns(session))[0].status == TURN_STATUS_RUNNING
    hold.go_on.set()
    assert said((await first.result()).turn) == ["Well, that is it."]
    finished = await second.result()
    assert (finished.turn.number, said(finished.turn)) == (2, ["Echo: second"])


async def test_many_inputs_are_done_one_by_one_in_their_order(stage):
    session = await stage.begin()
    finished = await asyncio.gather(*(stage.send(session, f"say {n}") for n in range(12)))
    assert sorted(each.turn.number for each in finished) == list(range(1, 13))
    assert [each.session.revision for each in sorted(finished, key=lambda each: each.turn.number)] == list(
        range(1, 13)
    )
    shown = stage.gateway.requests[-1]
    assert len(shown.messages) == 1 + 11 * 2 + 1


async def test_two_engines_on_one_session_make_one_order(stage):
    session = await stage.begin()
    one, two = stage.main, await stage.join()
    finished = await asyncio.gather(*((one, two)[n % 2].send(session, f"say {n}") for n in range(10)))
    assert sorted(each.turn.number for each in finished) == list(range(1, 11))
    assert {each.turn.status for each in finished} == {TURN_STATUS_DONE}
    assert (await stage.session(session)).revision == 10
    assert len(stage.gateway.requests) == 10


async def test_an_input_may_rather_be_refused_than_wait(stage, busy):
    session, hold, first = busy
    with pytest.raises(SessionBusy):
        await stage.send(session, "second", double=ConcurrencyPolicy.REJECT)
    hold.go_on.set()
    await first.result()
    assert said((await stage.send(session, "second", double=ConcurrencyPolicy.REJECT)).turn) == [
        "Echo: second"
    ]


async def test_an_input_may_interrupt_and_what_was_said_stays(stage, busy):
    session, _, first = busy
    second = await stage.send(session, "something else", double=ConcurrencyPolicy.INTERRUPT)
    finished = await first.result()
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert said(finished.turn) == ["Well, "]
    assert said(second.turn) == ["Echo: something else"]
    shown = [message.parts[0].text for message in stage.gateway.requests[-1].messages]
    assert shown == ["Be brief.", "first", "Well, ", "something else"]
    assert stage.gateway.open == 0


async def test_an_input_may_undo_the_turn_before_it(stage, busy):
    session, _, first = busy
    second = await stage.send(session, "rather this", double=ConcurrencyPolicy.ROLLBACK)
    assert (await first.result()).turn.status == TURN_STATUS_CANCELLED
    assert said(second.turn) == ["Echo: rather this"]
    shown = [message.parts[0].text for message in stage.gateway.requests[-1].messages]
    assert shown == ["Be brief.", "rather this"]


@pytest.mark.parametrize("double", [ConcurrencyPolicy.INTERRUPT, ConcurrencyPolicy.ROLLBACK])
async def test_an_interrupt_reaches_a_turn_that_another_engine_does(stage, busy, double):
    session, _, first = busy
    other = await stage.join()
    second = await other.send(session, "something else", double=double)
    assert (await first.result()).turn.status == TURN_STATUS_CANCELLED
    assert second.turn.status == TURN_STATUS_DONE


@pytest.mark.parametrize("double", [ConcurrencyPolicy.INTERRUPT, ConcurrencyPolicy.ROLLBACK])
async def test_an_interrupted_tool_call_ends_with_a_paired_result(stage, double):
    """It may have taken place, so it is said to be unknown; and it is not made again."""
    session = await stage.begin("order")
    selling = Hold()
    stage.tools.add("shop.buy", selling, "once")
    first = await stage.engine.accept(wish(session, "3"))
    await selling.reached.wait()
    second = await stage.send(session, "3", double=double)
    finished = await first.result()
    (record,) = finished.turn.tool_calls
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert record.outcome_unknown
    assert record.result.call_id == record.call.id
    assert [each.WhichOneof("event") for each in finished.events][-2:] == [
        "tool_call_started",
        "tool_call_finished",
    ]
    assert stage.tools.running == 0
    # The flow comes to the same call again: it is not made a second time, the flow is told that nobody knows.
    assert said(second.turn)[0] == "I do not know whether that was bought."
    assert stage.tools.names() == ["shop.buy"]


async def test_the_inbox_has_a_limit(stage, busy):
    session, hold, first = busy
    waiting = [await stage.engine.accept(wish(session, f"say {n}")) for n in range(stage.limits.inbox - 1)]
    with pytest.raises(InboxFull):
        await stage.send(session, "one too many")
    hold.go_on.set()
    await first.result()
    for each in waiting:
        await each.result()
    assert len(await stage.turns(session)) == stage.limits.inbox


async def test_cancelling_ends_a_running_turn(stage, busy):
    session, _, first = busy
    finished = await stage.engine.cancel(TurnRef(TENANT, session.id, 1))
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert said(finished.turn) == ["Well, "]
    assert (await first.result()).turn == finished.turn
    assert said((await stage.send(session, "and now?")).turn) == ["Echo: and now?"]


async def test_cancelling_ends_a_turn_that_another_engine_does(stage, busy):
    session, _, first = busy
    other = await stage.join()
    finished = await other.engine.cancel(TurnRef(TENANT, session.id, 1))
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert (await first.result()).turn == finished.turn


async def test_cancelling_ends_a_turn_that_waits_and_no_other(stage, busy):
    session, hold, first = busy
    second = await stage.engine.accept(wish(session, "second"))
    third = await stage.engine.accept(wish(session, "third"))
    finished = await stage.engine.cancel(TurnRef(TENANT, session.id, 2))
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert said(finished.turn) == []
    assert (await second.result()).turn == finished.turn
    hold.go_on.set()
    assert (await first.result()).turn.status == TURN_STATUS_DONE
    assert said((await third.result()).turn) == ["Echo: third"]


async def test_cancelling_a_finished_turn_returns_it_as_it_is(stage):
    session = await stage.begin()
    first = await stage.send(session, "hello")
    assert (await stage.engine.cancel(TurnRef(TENANT, session.id, 1))).turn == first.turn


async def test_there_is_no_cancelling_what_is_not_there(stage):
    session = await stage.begin()
    with pytest.raises(TurnNotFound):
        await stage.engine.cancel(TurnRef(TENANT, session.id, 1))
    with pytest.raises(SessionNotFound):
        await stage.engine.cancel(TurnRef("other", session.id, 1))


async def test_cancelling_between_announcement_and_call_makes_no_call(stage):
    """The intent is being written when the wish arrives: the tool is never run, and that is known."""
    session = await stage.begin("order")
    stage.store.stall("write_journal", done=True)
    first = await stage.engine.accept(wish(session, "3"))
    await stage.store.stalled.wait()
    finished = await stage.engine.cancel(first.name)
    (record,) = finished.turn.tool_calls
    assert not record.outcome_unknown
    assert record.result.is_error
    assert stage.tools.calls == []
    assert (await first.result()).turn == finished.turn
    again = await stage.send(session, "3")
    assert said(again.turn) == ["Thank you."]
    assert stage.tools.names() == ["shop.buy"]


async def test_cancelling_while_several_tools_run_gives_each_its_result(stage):
    session = await stage.begin()
    slow, bought = Hold(), Hold()
    stage.tools.add("clock.now", slow)
    stage.tools.add("shop.buy", bought, "once")
    stage.gateway.scripts.append(["Let me see. ", call("clock.now", "a"), call("shop.buy", "b")])
    await stage.engine.accept(wish(session, "hello"))
    await slow.reached.wait()
    await bought.reached.wait()
    finished = await stage.engine.cancel(TurnRef(TENANT, session.id, 1))
    assert {each.call.id: each.outcome_unknown for each in finished.turn.tool_calls} == {
        "a": False,
        "b": True,
    }
    assert stage.tools.running == 0
    calls = [
        part.tool_call.id
        for message in finished.transcript
        for part in message.parts
        if part.HasField("tool_call")
    ]
    results = [
        part.tool_result.call_id
        for message in finished.transcript
        for part in message.parts
        if part.HasField("tool_result")
    ]
    assert calls == results == ["a", "b"]


async def test_deleting_a_session_ends_its_turn_and_tells_who_follows(stage, busy):
    session, _, first = busy
    await stage.main.sessions.delete(TENANT, session.id, "")
    with pytest.raises(SessionNotFound):
        await first.result()
    with pytest.raises(SessionNotFound):
        await stage.send(session, "hello")
    assert stage.gateway.open == 0
