"""Inputs during a turn: concurrency policies, cancelling, and the order of turns."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE, TURN_STATUS_RUNNING
from clawdbot_dialogue.core.errors import InboxFull, SessionBusy, SessionNotFound, TurnNotFound
from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy
from clawdbot_dialogue.core.turns.subscription import TurnRef

from tests.support.engine_cluster import TENANT, reply_texts, turn_request
from tests.support.scripted_peers import Hold, call


@pytest.fixture
async def busy(cluster):
    """A session with a running turn that has said something and waits for the model."""
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append(["Well, ", hold, "that is it."])
    first = await cluster.engine.accept(turn_request(session, "first"))
    await hold.reached.wait()
    return session, hold, first


async def test_an_input_waits_for_the_unfinished_turn(cluster, busy):
    session, hold, first = busy
    second = await cluster.engine.accept(turn_request(session, "second"))
    assert (await cluster.turns(session))[0].status == TURN_STATUS_RUNNING
    hold.go_on.set()
    assert reply_texts((await first.result()).turn) == ["Well, that is it."]
    finished = await second.result()
    assert (finished.turn.number, reply_texts(finished.turn)) == (2, ["Echo: second"])


async def test_many_inputs_run_one_by_one_in_order(cluster):
    session = await cluster.open_session()
    finished = await asyncio.gather(*(cluster.send(session, f"say {n}") for n in range(12)))
    assert sorted(each.turn.number for each in finished) == list(range(1, 13))
    assert [each.session.revision for each in sorted(finished, key=lambda each: each.turn.number)] == list(
        range(1, 13)
    )
    shown = cluster.gateway.requests[-1]
    assert len(shown.messages) == 1 + 11 * 2 + 1


async def test_two_engines_keep_one_order_for_a_session(cluster):
    session = await cluster.open_session()
    one, two = cluster.newest, await cluster.join()
    finished = await asyncio.gather(*((one, two)[n % 2].send(session, f"say {n}") for n in range(10)))
    assert sorted(each.turn.number for each in finished) == list(range(1, 11))
    assert {each.turn.status for each in finished} == {TURN_STATUS_DONE}
    assert (await cluster.session(session)).revision == 10
    assert len(cluster.gateway.requests) == 10


async def test_an_input_with_reject_is_refused_while_a_turn_is_unfinished(cluster, busy):
    session, hold, first = busy
    with pytest.raises(SessionBusy):
        await cluster.send(session, "second", concurrency=ConcurrencyPolicy.REJECT)
    hold.go_on.set()
    await first.result()
    assert reply_texts(
        (await cluster.send(session, "second", concurrency=ConcurrencyPolicy.REJECT)).turn
    ) == ["Echo: second"]


async def test_an_interrupted_turn_keeps_what_it_said(cluster, busy):
    session, _, first = busy
    second = await cluster.send(session, "something else", concurrency=ConcurrencyPolicy.INTERRUPT)
    finished = await first.result()
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert reply_texts(finished.turn) == ["Well, "]
    assert reply_texts(second.turn) == ["Echo: something else"]
    shown = [message.parts[0].text for message in cluster.gateway.requests[-1].messages]
    assert shown == ["Be brief.", "first", "Well, ", "something else"]
    assert cluster.gateway.open == 0


async def test_a_rolled_back_turn_leaves_nothing_in_the_transcript(cluster, busy):
    session, _, first = busy
    second = await cluster.send(session, "rather this", concurrency=ConcurrencyPolicy.ROLLBACK)
    assert (await first.result()).turn.status == TURN_STATUS_CANCELLED
    assert reply_texts(second.turn) == ["Echo: rather this"]
    shown = [message.parts[0].text for message in cluster.gateway.requests[-1].messages]
    assert shown == ["Be brief.", "rather this"]


@pytest.mark.parametrize("concurrency", [ConcurrencyPolicy.INTERRUPT, ConcurrencyPolicy.ROLLBACK])
async def test_an_interrupt_reaches_a_turn_of_another_engine(cluster, busy, concurrency):
    session, _, first = busy
    other = await cluster.join()
    second = await other.send(session, "something else", concurrency=concurrency)
    assert (await first.result()).turn.status == TURN_STATUS_CANCELLED
    assert second.turn.status == TURN_STATUS_DONE


@pytest.mark.parametrize("concurrency", [ConcurrencyPolicy.INTERRUPT, ConcurrencyPolicy.ROLLBACK])
async def test_an_interrupted_tool_call_gets_a_result(cluster, concurrency):
    """It may have taken place: its outcome is unknown, and it is not made again."""
    session = await cluster.open_session("order")
    selling = Hold()
    cluster.tools.add("shop.buy", selling, "once")
    first = await cluster.engine.accept(turn_request(session, "3"))
    await selling.reached.wait()
    second = await cluster.send(session, "3", concurrency=concurrency)
    finished = await first.result()
    (record,) = finished.turn.tool_calls
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert record.outcome_unknown
    assert record.result.call_id == record.call.id
    assert [each.WhichOneof("event") for each in finished.events][-2:] == [
        "tool_call_started",
        "tool_call_finished",
    ]
    assert cluster.tools.running == 0
    # The flow comes to the same call again: it is not made a second time; the flow gets an unknown outcome.
    assert reply_texts(second.turn)[0] == "I do not know whether that was bought."
    assert cluster.tools.names() == ["shop.buy"]


async def test_the_inbox_has_a_limit(cluster, busy):
    session, hold, first = busy
    waiting = [
        await cluster.engine.accept(turn_request(session, f"say {n}"))
        for n in range(cluster.limits.inbox - 1)
    ]
    with pytest.raises(InboxFull):
        await cluster.send(session, "one too many")
    hold.go_on.set()
    await first.result()
    for each in waiting:
        await each.result()
    assert len(await cluster.turns(session)) == cluster.limits.inbox


async def test_cancelling_ends_a_running_turn(cluster, busy):
    session, _, first = busy
    finished = await cluster.engine.cancel(TurnRef(TENANT, session.id, 1))
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert reply_texts(finished.turn) == ["Well, "]
    assert (await first.result()).turn == finished.turn
    assert reply_texts((await cluster.send(session, "and now?")).turn) == ["Echo: and now?"]


async def test_cancelling_ends_a_turn_of_another_engine(cluster, busy):
    session, _, first = busy
    other = await cluster.join()
    finished = await other.engine.cancel(TurnRef(TENANT, session.id, 1))
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert (await first.result()).turn == finished.turn


async def test_cancelling_ends_a_waiting_turn_and_no_other(cluster, busy):
    session, hold, first = busy
    second = await cluster.engine.accept(turn_request(session, "second"))
    third = await cluster.engine.accept(turn_request(session, "third"))
    finished = await cluster.engine.cancel(TurnRef(TENANT, session.id, 2))
    assert finished.turn.status == TURN_STATUS_CANCELLED
    assert reply_texts(finished.turn) == []
    assert (await second.result()).turn == finished.turn
    hold.go_on.set()
    assert (await first.result()).turn.status == TURN_STATUS_DONE
    assert reply_texts((await third.result()).turn) == ["Echo: third"]


async def test_cancelling_a_finished_turn_returns_it_unchanged(cluster):
    session = await cluster.open_session()
    first = await cluster.send(session, "hello")
    assert (await cluster.engine.cancel(TurnRef(TENANT, session.id, 1))).turn == first.turn


async def test_cancelling_a_missing_turn_is_an_error(cluster):
    session = await cluster.open_session()
    with pytest.raises(TurnNotFound):
        await cluster.engine.cancel(TurnRef(TENANT, session.id, 1))
    with pytest.raises(SessionNotFound):
        await cluster.engine.cancel(TurnRef("other", session.id, 1))


async def test_cancelling_before_a_call_is_sent_makes_no_call(cluster):
    """The intent is being written when the request arrives: the tool is never run, and that is known."""
    session = await cluster.open_session("order")
    cluster.store.stall("write_journal", done=True)
    first = await cluster.engine.accept(turn_request(session, "3"))
    await cluster.store.stalled.wait()
    finished = await cluster.engine.cancel(first.ref)
    (record,) = finished.turn.tool_calls
    assert not record.outcome_unknown
    assert record.result.is_error
    assert cluster.tools.calls == []
    assert (await first.result()).turn == finished.turn
    again = await cluster.send(session, "3")
    assert reply_texts(again.turn) == ["Thank you."]
    assert cluster.tools.names() == ["shop.buy"]


async def test_cancelling_while_several_tools_run_gives_each_call_a_result(cluster):
    session = await cluster.open_session()
    slow, bought = Hold(), Hold()
    cluster.tools.add("clock.now", slow)
    cluster.tools.add("shop.buy", bought, "once")
    cluster.gateway.scripts.append(["Let me see. ", call("clock.now", "a"), call("shop.buy", "b")])
    await cluster.engine.accept(turn_request(session, "hello"))
    await slow.reached.wait()
    await bought.reached.wait()
    finished = await cluster.engine.cancel(TurnRef(TENANT, session.id, 1))
    assert {each.call.id: each.outcome_unknown for each in finished.turn.tool_calls} == {
        "a": False,
        "b": True,
    }
    assert cluster.tools.running == 0
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


async def test_deleting_a_session_ends_its_turn_for_every_subscriber(cluster, busy):
    session, _, first = busy
    await cluster.newest.sessions.delete(TENANT, session.id, "")
    with pytest.raises(SessionNotFound):
        await first.result()
    with pytest.raises(SessionNotFound):
        await cluster.send(session, "hello")
    assert cluster.gateway.open == 0
