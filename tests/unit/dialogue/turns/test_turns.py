"""The life of a turn: accepted, run, streamed, committed."""

from __future__ import annotations

import pytest
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, SESSION_STATUS_HANDED_OFF
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, TURN_STATUS_FAILED
from clawdbot_dialogue.core.errors import SessionEnded, SessionNotFound
from clawdbot_dialogue.core.session_admin import CreateSession

from tests.support.engine_cluster import TENANT, event, event_kinds, reply_texts, streamed_text, turn_request
from tests.support.scripted_peers import Hold


async def test_a_turn_is_run_and_stored(cluster):
    session = await cluster.open_session()
    finished = await cluster.send(session, "hello")
    assert reply_texts(finished.turn) == ["Echo: hello"]
    assert finished.turn.status == TURN_STATUS_DONE
    assert (finished.turn.number, finished.session.revision) == (1, 1)
    assert finished.turn.input.parts[0].text == "hello"
    assert list(await cluster.turns(session)) == [finished.turn]
    assert await cluster.session(session) == finished.session


async def test_events_are_in_order_and_without_gaps(cluster):
    session = await cluster.open_session("order")
    events = await cluster.events(session, "3")
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert event_kinds(events) == [
        "turn_started",
        "slot_set",
        "state_entered",
        "tool_call_started",
        "tool_call_finished",
        "state_entered",
        "text_delta",
        "turn_finished",
    ]
    turn = events[-1].turn_finished.turn
    assert reply_texts(turn) == ["Thank you."]
    assert list(turn.path) == ["buy", "thanks"]
    assert [each.call.name for each in turn.tool_calls] == ["shop.buy"]
    assert events[-1].turn_finished.session.status == SESSION_STATUS_ENDED


async def test_a_models_reply_is_streamed(cluster):
    session = await cluster.open_session()
    cluster.gateway.scripts.append(["Good ", "day", "!"])
    events = await cluster.events(session, "hello")
    assert [each.text_delta.text for each in events if each.HasField("text_delta")] == ["Good ", "day", "!"]
    assert reply_texts(events[-1].turn_finished.turn) == ["Good day!"]


async def test_the_model_is_shown_the_conversation_so_far(cluster):
    session = await cluster.open_session()
    await cluster.send(session, "first")
    await cluster.send(session, "second")
    shown = cluster.gateway.requests[-1]
    assert [message.parts[0].text for message in shown.messages] == [
        "Be brief.",
        "first",
        "Echo: first",
        "second",
    ]
    assert shown.metadata["session_id"] == session.id


async def test_a_generations_usage_is_in_the_turn(cluster):
    session = await cluster.open_session()
    finished = await cluster.send(session, "hello")
    assert (finished.turn.usage.input_tokens, finished.turn.usage.output_tokens) == (10, 5)


async def test_a_session_that_ended_takes_no_turns(cluster):
    session = await cluster.open_session("order")
    await cluster.send(session, "3")
    with pytest.raises(SessionEnded):
        await cluster.send(session, "again")


async def test_turns_that_wait_when_a_session_ends_fail_with_a_reason(cluster):
    session = await cluster.open_session("order")
    selling = Hold()
    cluster.tools.add("shop.buy", selling, "once")
    first = await cluster.engine.accept(turn_request(session, "3"))
    await selling.reached.wait()
    second = await cluster.engine.accept(turn_request(session, "4"))
    selling.go_on.set()
    assert (await first.result()).session.status == SESSION_STATUS_ENDED
    finished = await second.result()
    assert finished.turn.status == TURN_STATUS_FAILED
    assert finished.turn.error.reason == "SESSION_ENDED"
    assert cluster.tools.names() == ["shop.buy"]


async def test_another_tenants_session_is_not_found(cluster):
    session = await cluster.open_session()
    with pytest.raises(SessionNotFound):
        await cluster.send(session, "hello", tenant="other")


async def test_an_event_takes_a_transition(cluster):
    cluster.flow("""
flow: wait
version: 1
description: Wait for money
states:
  wait:
    collect: [x]
    next:
      - {event: paid, say: "Got {event.data.sum}.", to: done}
      - {to: done}
  done: {say: Bye., end: true}
slots:
  x: {type: string, ask: Well?}
""")
    session = await cluster.open_session("wait")
    finished = await cluster.send(session, event("paid", sum=12))
    assert reply_texts(finished.turn) == ["Got 12.", "Bye."]
    assert finished.turn.input_event.name == "paid"


async def test_messages_after_a_handoff_are_stored_and_not_answered(cluster):
    cluster.flow("""
flow: person
version: 1
description: Talk to a person
states:
  hand: {handoff: support}
""")
    session, opening = await cluster.newest.sessions.create(CreateSession(TENANT, "person"))
    assert session.status == SESSION_STATUS_HANDED_OFF
    assert session.handoff_queue == "support"
    assert opening is not None
    finished = await cluster.send(session, "are you there?")
    assert finished.turn.status == TURN_STATUS_DONE
    assert reply_texts(finished.turn) == []
    assert streamed_text(finished.events) == ""


async def test_observers_get_how_turns_went_and_never_what_was_said(cluster):
    session = await cluster.open_session("order")
    await cluster.send(session, "3")
    assert [each.point for each in cluster.hooks.observed] == ["turn_done", "session_ended"]
    done = cluster.hooks.observed[0]
    assert (done.session_id, done.facts["status"], done.facts["tool_calls"]) == (session.id, "DONE", 1)
    assert "3" not in str(done.facts["status"])


async def test_an_event_that_no_plugin_observes_is_not_built(cluster):
    cluster.hooks.unobserved = {"turn_done"}
    session = await cluster.open_session("order")
    await cluster.send(session, "3")
    assert [each.point for each in cluster.hooks.observed] == ["session_ended"]


async def test_a_turn_that_a_gate_refuses_is_not_accepted(cluster):
    session = await cluster.open_session()
    cluster.hooks.refusal = PermissionError("not today")
    with pytest.raises(PermissionError):
        await cluster.send(session, "hello")
    assert await cluster.turns(session) == ()
    assert [(each.point, each.session_id) for each in cluster.hooks.gated] == [("before_turn", session.id)]


async def test_a_defect_of_ours_fails_its_turn_and_not_the_session(cluster, monkeypatch):
    session = await cluster.open_session()
    cluster.gateway.scripts.append([RuntimeError("a defect")])
    finished = await cluster.send(session, "hello")
    assert finished.turn.status == TURN_STATUS_FAILED
    assert finished.turn.error.reason == "INTERNAL"
    assert "a defect" not in finished.turn.error.message
    assert reply_texts((await cluster.send(session, "again")).turn) == ["Echo: again"]


async def test_a_session_in_several_regions_shows_all_its_states(cluster):
    cluster.flow("""
flow: regions
version: 1
slots: {n: {type: integer, ask: N?}, day: {type: date, ask: Day?}}
states:
  both:
    parallel:
      left: {states: {n: {collect: [n], next: done}, done: {end: true}}}
      right: {states: {day: {collect: [day], next: done}, done: {end: true}}}
    next: over
  over: {say: Over., end: true}
""")
    session = await cluster.open_session("regions")
    first = await cluster.send(session, "3")
    assert (first.session.state, list(first.session.states)) == (
        "both.right.day",
        ["both.left.done", "both.right.day"],
    )
    last = await cluster.send(session, "tomorrow")
    assert (last.session.state, list(last.session.states)) == ("over", [])
    assert reply_texts(last.turn) == ["Over."]
