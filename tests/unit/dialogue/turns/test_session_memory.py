"""A process remembers the sessions whose turns it ran, and never uses what another process has changed."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_USER, Media, Message, Part
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_dialogue.core.sessions.records import InboxTurn, Lease, TurnTask
from clawdbot_dialogue.core.turns.history import History
from clawdbot_dialogue.core.turns.ports import TurnLimits
from clawdbot_dialogue.core.turns.session_memory import MAX_BYTES, SessionMemories, SessionMemory

from tests.support.engine_cluster import ERRAND, TENANT, reply_texts, turn_request
from tests.support.scripted_peers import Hold, call

OF_A_TURN = {
    "accept_turn",
    "deployed_flows",
    "recent_transcripts",
    "read_journal",
    "write_journal",
    "get_session",
    "find_turn",
    "commit",
}
"""The store's methods that a turn may call; the maintenance loop calls others."""


def shown_texts(request):
    """The texts of a model's request, without the instructions."""
    return ["".join(part.text for part in message.parts) for message in request.messages[1:]]


async def test_a_turn_reads_nothing_that_this_process_wrote(cluster):
    session = await cluster.open_session()
    for _ in range(2):
        cluster.store.stall("nothing", done=False)  # starts the count
        await cluster.send(session, "hello")
        assert OF_A_TURN & cluster.store.counted.keys() == {"accept_turn", "commit"}
    assert shown_texts(cluster.gateway.requests[-1]) == ["hello", "Echo: hello", "hello"]


async def test_a_tool_call_reads_no_journal_that_this_process_knows(cluster):
    session = await cluster.open_session("order")
    cluster.store.stall("nothing", done=False)
    await cluster.send(session, "3")
    assert OF_A_TURN & cluster.store.counted.keys() == {"accept_turn", "write_journal", "commit"}


async def test_a_turn_sees_what_another_process_committed_meanwhile(cluster):
    session = await cluster.open_session()
    one, two = cluster.newest, await cluster.join()
    for number, node in enumerate((one, two, one, one, two)):
        await node.send(session, f"turn {number}")
        said = [f"{prefix}turn {n}" for n in range(number) for prefix in ("", "Echo: ")]
        assert shown_texts(cluster.gateway.requests[-1]) == [*said, f"turn {number}"]


async def test_slots_that_another_process_filled_are_not_asked_for_again(cluster):
    session = await cluster.open_session("order")
    cluster.tools.add("shop.buy", {"ok": False}, "once")
    one, two = cluster.newest, await cluster.join()
    assert reply_texts((await one.send(session, "hm")).turn)
    assert reply_texts((await two.send(session, "3")).turn) == ["Sold out.", "How many?"]
    cluster.tools.add("shop.buy", {"ok": True}, "once")
    assert reply_texts((await one.send(session, "4")).turn) == ["Thank you."]


@pytest.mark.parametrize("other_engine", [False, True])
async def test_a_once_call_of_a_turn_that_failed_is_remembered(cluster, other_engine):
    """The process that ran the failed turn knows of the call, and one that did not reads of it."""
    cluster.flow(ERRAND)
    session = await cluster.open_session("errand")
    one, two = cluster.newest, await cluster.join()
    await one.send(session, "hm")
    wrapping = Hold()
    cluster.tools.add("clock.now", wrapping)
    first = await two.engine.accept(turn_request(session, "3"))
    await wrapping.reached.wait()
    await two.engine.cancel(first.ref)
    cluster.tools.add("clock.now", {"time": "12:00"})
    assert reply_texts((await (one if other_engine else two).send(session, "3")).turn) == ["Done."]
    assert cluster.tools.names().count("shop.buy") == 1


async def test_images_are_shown_as_long_as_they_fit(cluster):
    """What is remembered of a turn is shown as what is read of it would be."""
    session = await cluster.open_session()
    one, two = cluster.newest, await cluster.join()
    image = Part(image=Media(data=b"\x89PNG" + bytes(100), media_type="image/png"))
    await one.send(session, Message(role=ROLE_USER, parts=[Part(text="look"), image]))
    await one.send(session, "and?")
    remembered = cluster.gateway.requests[-1]
    session_after = await cluster.session(session)
    await two.send(session_after, "and?")
    read = cluster.gateway.requests[-1]
    assert list(remembered.messages) == list(read.messages)[: len(remembered.messages)]


async def test_a_tool_call_of_the_model_is_remembered_with_its_result(cluster):
    session = await cluster.open_session()
    cluster.gateway.scripts.append([call("clock.now", "a")])
    cluster.gateway.scripts.append(["Noon."])
    await cluster.send(session, "What time is it?")
    await cluster.send(session, "Thanks")
    remembered = list(cluster.gateway.requests[-1].messages)
    await cluster.join()
    await cluster.send(session, "Again")
    assert list(cluster.gateway.requests[-1].messages)[: len(remembered)] == remembered


# The memories themselves.


def memory(session_id="s1", revision=1, text="", status=0):
    """A session's memory whose history has a text."""
    session = Session(id=session_id, revision=revision, status=status)
    turns = [[Message(parts=[Part(text=text)])]] if text else ()
    return SessionMemory(session, "{}", History(session_id, TurnLimits(), turns))


def task(token, session_id="s1", revision=1, snapshot="{}"):
    session = Session(id=session_id, revision=revision)
    return TurnTask(Lease(session_id, token), session, snapshot, InboxTurn(Turn(number=1)))


def test_a_memory_is_good_for_the_next_lease_once():
    memories, kept = SessionMemories(), memory()
    memories.keep(4, kept)
    assert memories.recall(task(5)) is kept
    assert memories.recall(task(5)) is None


@pytest.mark.parametrize("other", [task(6), task(4), task(5, revision=2), task(5, snapshot="no JSON")])
def test_a_memory_is_void_after_another_lease_or_if_the_store_has_something_else(other):
    memories = SessionMemories()
    memories.keep(4, memory())
    assert memories.recall(other) is None


def test_a_session_that_ended_or_was_deleted_is_forgotten():
    memories = SessionMemories()
    memories.keep(4, memory(status=SESSION_STATUS_ENDED))
    assert memories.recall(task(5)) is None
    memories.keep(4, memory())
    memories.forget("s1")
    assert memories.recall(task(5)) is None


def test_a_session_without_turns_is_forgotten():
    memories = SessionMemories()
    memories.keep(4, memory())
    memories.forget_idle(600.0)
    memories.keep(4, memory("s2"))
    memories.forget_idle(0.0)
    assert memories.recall(task(5)) is None
    memories.keep(4, memory())
    memories.forget_idle(600.0)
    assert memories.recall(task(5)) is not None


async def test_a_deleted_session_is_forgotten(cluster):
    session = await cluster.open_session()
    await cluster.send(session, "hello")
    assert session.id in cluster.engine._memories._kept
    await cluster.newest.sessions.delete(TENANT, session.id, "")
    assert session.id not in cluster.engine._memories._kept


async def test_a_session_that_another_process_deletes_is_forgotten_soon(cluster):
    deleted, kept = [await cluster.open_session() for _ in range(2)]
    for each in (deleted, kept):
        await cluster.send(each, "hello")
    await cluster.store.delete_session(TENANT, deleted.id, "", 100.0)
    await cluster.engine._maintenance.forget_sessions()
    assert cluster.engine._memories.session_ids == {kept.id}


def test_the_sessions_that_were_used_least_recently_are_forgotten_first():
    memories, size = SessionMemories(), MAX_BYTES // 4
    for number in range(5):
        memories.keep(1, memory(f"s{number}", text="x" * size))
    kept = [number for number in range(5) if memories.recall(task(2, f"s{number}")) is not None]
    assert kept == [2, 3, 4]


def test_a_session_that_is_too_large_is_not_kept():
    memories = SessionMemories()
    memories.keep(1, memory(text="x" * MAX_BYTES))
    assert memories.recall(task(2)) is None
