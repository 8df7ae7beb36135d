"""Sessions are created with their opening turn, visible to their tenant only, and deleted whole."""

from __future__ import annotations

import asyncio
import json

import pytest
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ACTIVE
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, TURN_STATUS_FAILED
from clawdbot_dialogue.core.errors import RequestIdReused, SessionNotFound, UnknownFlow
from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.session_admin import CreateSession
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.engine_cluster import TENANT, event_kinds, reply_texts, running_cluster, turn_request
from tests.support.scripted_peers import Hold
from tests.unit.dialogue.turns.conftest import CHAT, ORDER

ASKING = """
flow: asking
version: 1
description: Asks a tool before it says anything
states:
  look:
    call: {tool: clock.now, effect: none}
    next:
      - {on_error: any, to: end}
      - {say: "It is {result.time}.", to: end}
  end: {say: Bye., end: true}
"""


GREETING = """
flow: greeting
version: 1
locales: [en, zh]
slots:
  n: {type: integer, max: 9, called: {en: number, zh: 数目}, ask: {en: How many?, zh: 多少？}}
  again: {type: integer, ask: {en: And then?, zh: 然后呢？}}
states:
  ask: {collect: [n, again], next: end}
  end: {say: {en: Bye., zh: 再见。}, end: true}
"""


@pytest.fixture(params=["memory", "sqlite"])
async def cluster(request, tmp_path):
    async with running_cluster(request.param, tmp_path) as cluster:
        for flow in (CHAT, ORDER, ASKING, GREETING):
            cluster.flow(flow)
        cluster.tools.add("clock.now", {"time": "12:00"})
        cluster.tools.add("shop.buy", {"ok": True}, "once")
        yield cluster


def create_request(flow="order", **options) -> CreateSession:
    return CreateSession(TENANT, flow, **options)


async def test_what_a_flow_says_first_is_a_turn_of_its_own(cluster):
    session, opening = await cluster.newest.sessions.create(create_request())
    assert (session.flow, session.flow_version, session.state) == ("order", 1, "ask")
    assert session.status == SESSION_STATUS_ACTIVE
    assert (opening.number, opening.input_event.name, opening.status) == (
        1,
        "session.started",
        TURN_STATUS_DONE,
    )
    assert reply_texts(opening) == ["How many?"]
    assert (opening.id, opening.session_id) == (f"{session.id}-1", session.id)
    assert session.revision == 1
    assert await cluster.session(session) == session
    assert list(await cluster.turns(session)) == [opening]


async def test_a_flow_that_says_nothing_has_no_opening(cluster):
    session, opening = await cluster.newest.sessions.create(create_request("chat"))
    assert opening is None
    assert session.revision == 0
    assert await cluster.turns(session) == ()


@pytest.mark.parametrize("flow", ["order", "chat"])
async def test_a_session_and_its_opening_are_stored_in_one_write(cluster, flow):
    cluster.store.stall("nothing", done=False)  # starts the count
    await cluster.newest.sessions.create(create_request(flow))
    assert cluster.store.counted == {"create_session": 1}


async def test_an_opening_that_needs_a_tool_is_a_turn_like_any_other(cluster):
    session, opening = await cluster.newest.sessions.create(create_request("asking"))
    assert reply_texts(opening) == ["It is 12:00.", "Bye."]
    assert opening.tool_calls[0].call.name == "clock.now"
    assert session.revision == 1


@pytest.mark.parametrize("flow", ["order", "asking"])
async def test_an_opening_starts_its_flow_once_however_it_is_run(cluster, flow):
    """Whether it runs while the session is created or later as a turn, the machine gets Started one time."""
    session, _ = await cluster.newest.sessions.create(create_request(flow))
    steps = (await cluster.newest.sessions.explain_turn(TENANT, session.id, 1)).steps
    assert steps[0].transition_taken.cause == "started"
    assert [step.note.code for step in steps if step.HasField("note")] == []


async def test_an_opening_is_run_by_another_process_when_the_first_one_dies(cluster):
    cluster.store.stall("read_journal", done=False)
    creating = asyncio.create_task(cluster.newest.sessions.create(create_request("asking", request_id="s1")))
    await cluster.store.stalled.wait()
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    await cluster.crash()
    session, opening = await cluster.newest.sessions.create(create_request("asking", request_id="s1"))
    assert reply_texts(opening) == ["It is 12:00.", "Bye."]
    assert len(await cluster.turns(session)) == 1


async def test_a_flow_that_fails_at_once_creates_a_session_with_a_failed_turn(cluster):
    cluster.flow("""
flow: stuck
version: 1
description: Runs in circles
states:
  a: {say: a, next: [{to: b}]}
  b: {say: b, next: [{if: 1 < 2, to: a}]}
""")
    _, opening = await cluster.newest.sessions.create(create_request("stuck"))
    assert (opening.status, opening.error.reason) == (TURN_STATUS_FAILED, "FLOW_LOOP")


async def test_a_retry_returns_the_first_session_as_it_was_created(cluster):
    session, opening = await cluster.newest.sessions.create(create_request(request_id="s1", digest=b"d"))
    await cluster.send(session, "what?")
    again, opened = await cluster.newest.sessions.create(create_request(request_id="s1", digest=b"d"))
    assert (again, opened) == (session, opening)
    with pytest.raises(RequestIdReused):
        await cluster.newest.sessions.create(create_request(request_id="s1", digest=b"other"))


async def test_slots_can_be_set_when_a_session_is_created(cluster):
    session, opening = await cluster.newest.sessions.create(create_request(slots={"count": 3}))
    assert session.slots["count"] == 3
    assert reply_texts(opening) == ["Thank you."]
    assert cluster.tools.calls[0].arguments["count"] == 3


@pytest.mark.parametrize("slots", [{"counts": 3}, {"count": 12}, {"count": "many"}])
async def test_slots_with_invalid_values_are_named(cluster, slots):
    with pytest.raises(InvalidRequest) as caught:
        await cluster.newest.sessions.create(create_request(slots=slots))
    (violation,) = caught.value.violations
    assert violation.field == f"slots.{next(iter(slots))}"


async def test_an_unknown_flow_is_reported_with_the_nearest_one(cluster):
    with pytest.raises(UnknownFlow) as caught:
        await cluster.newest.sessions.create(create_request("ordre"))
    assert "order" in caught.value.hint
    with pytest.raises(UnknownFlow) as caught:
        await cluster.newest.sessions.create(create_request("order", flow_version=7))
    assert caught.value.flow == "order in version 7"
    assert caught.value.hint == ""


@pytest.mark.parametrize("name", ["order", "sale"])
async def test_a_session_gets_the_flow_that_another_process_has_just_deployed(cluster, name):
    """In its newest version, with the slots of that, and also where nobody here knows the flow yet."""
    source = ORDER.replace("flow: order", f"flow: {name}").replace("version: 1", "version: 2")
    source = source.replace("slots:\n", "slots:\n  gift: {type: string}\n")
    await cluster.store.deploy_flow(name, 2, source, 0.0)
    session, _ = await cluster.newest.sessions.create(create_request(name, slots={"gift": "ribbon"}))
    assert (session.flow_version, session.slots["gift"]) == (2, "ribbon")
    await cluster.store.deploy_flow(name, 3, source.replace("version: 2", "version: 3"), 0.0)
    assert (await cluster.newest.sessions.create(create_request(name)))[0].flow_version == 3


async def test_session_ids_cannot_be_guessed(cluster):
    ids = [(await cluster.open_session()).id for _ in range(5)]
    assert len(set(ids)) == 5
    assert all(len(each) == 26 and each.isalnum() for each in ids)


async def test_a_session_is_deleted_with_its_turns_and_counts_them(cluster):
    session = await cluster.open_session("order")
    await cluster.send(session, "3")
    with pytest.raises(SessionNotFound):
        await cluster.newest.sessions.delete("other", session.id, "")
    counts = await cluster.newest.sessions.delete(TENANT, session.id, "d1")
    assert (counts.turns, counts.tool_calls) == (2, 1)
    assert await cluster.newest.sessions.delete(TENANT, session.id, "d1") == counts
    with pytest.raises(SessionNotFound):
        await cluster.newest.sessions.get(TENANT, session.id)
    with pytest.raises(SessionNotFound):
        await cluster.turns(session)


async def test_an_export_holds_the_session_and_every_turn_as_a_line_each(cluster):
    session = await cluster.open_session("order")
    await cluster.send(session, "3")
    data = b"".join([line async for line in cluster.newest.sessions.export(TENANT, session.id)])
    first, *turns = [json.loads(line) for line in data.decode().splitlines()]
    assert first["id"] == session.id
    assert [turn["number"] for turn in turns] == ["1", "2"]
    assert turns[1]["toolCalls"][0]["call"]["name"] == "shop.buy"


async def test_a_session_without_its_flow_version_fails_turns_and_goes_on_once_it_is_back(cluster):
    session = await cluster.open_session("order")
    known, cluster.flows._versions = cluster.flows._versions, FlowRegistry()._versions
    await cluster.crash()
    failed = (await cluster.send(session, "3")).turn
    assert (failed.status, failed.error.reason) == (TURN_STATUS_FAILED, "FLOW_VERSION_GONE")
    assert "order" in failed.error.message
    assert (await cluster.session(session)).state == "ask"
    cluster.flows._versions.update(known)
    events = await cluster.events(session, "3")
    assert event_kinds(events)[-1] == "turn_finished"
    assert reply_texts(events[-1].turn_finished.turn) == ["Thank you."]


async def test_every_unfinished_turn_of_a_session_without_its_flow_fails_and_lists_its_calls(cluster):
    session = await cluster.open_session("order")
    selling = Hold()
    cluster.tools.add("shop.buy", selling, "once")
    for said in ("3", "4"):
        await cluster.engine.accept(turn_request(session, said, request_id=said))
    await selling.reached.wait()
    cluster.flows._versions = FlowRegistry()._versions
    await cluster.crash()
    last = (await cluster.send(session, "4", request_id="4")).turn
    turns = (await cluster.turns(session))[1:]
    assert [turn.error.reason for turn in turns] == ["FLOW_VERSION_GONE"] * 2
    assert [len(turn.tool_calls) for turn in turns] == [1, 0]
    assert turns[-1] == last


async def test_a_session_keeps_its_flow_version_when_a_newer_one_comes(cluster):
    old = await cluster.open_session("order")
    cluster.flow(ORDER.replace("version: 1", "version: 2").replace("Thank you.", "Thanks a lot."))
    new = await cluster.open_session("order")
    assert (old.flow_version, new.flow_version) == (1, 2)
    assert reply_texts((await cluster.send(old, "3")).turn) == ["Thank you."]
    assert reply_texts((await cluster.send(new, "3")).turn) == ["Thanks a lot."]


async def test_a_state_that_is_missing_in_the_flow_is_named(cluster):
    session = await cluster.open_session("order")
    cluster.flows._versions = FlowRegistry()._versions
    cluster.flow(ORDER.replace("  ask:", "  enquire:").replace("to: ask", "to: enquire"))
    failed = (await cluster.send(session, "3")).turn
    assert failed.error.reason == "FLOW_VERSION_GONE"
    assert "ask" in failed.error.message


@pytest.mark.parametrize(
    ("locale", "speaks", "says"),
    [
        ("", "en", "How many?"),
        ("zh-Hant-TW", "zh", "多少？"),
        ("en-GB", "en", "How many?"),
        ("fr", "en", "How many?"),
    ],
)
async def test_a_session_starts_in_the_persons_language(cluster, locale, speaks, says):
    session, opening = await cluster.newest.sessions.create(create_request("greeting", locale=locale))
    assert (session.locale, reply_texts(opening)) == (speaks, [says])


async def test_a_session_follows_its_person_into_another_language_and_stays_there(cluster):
    session = await cluster.open_session("greeting")
    changed = await cluster.send(session, "三个")
    assert (changed.session.locale, reply_texts(changed.turn)) == ("zh", ["然后呢？"])
    await cluster.crash()
    assert (await cluster.session(session)).locale == "zh"
    assert reply_texts((await cluster.send(session, "4")).turn) == ["再见。"]


async def test_an_invalid_slot_is_reported_in_the_callers_language(cluster):
    with pytest.raises(InvalidRequest, match="数目不能超过9。"):
        await cluster.newest.sessions.create(create_request("greeting", locale="zh", slots={"n": 10}))
