"""What DeleteSession deletes is gone from the session store's file and its log, not only from the replies."""

from __future__ import annotations

import asyncio
import random
from uuid import uuid4

import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.turn_pb2 import Event
from clawdbot_servicekit.structs import to_struct

from tests.support.conditions import until
from tests.support.dialogue_service import rpc_error, serving
from tests.support.scripted_peers import call

CANARY = "Canary-Wharf-7"
FLOWS = """
flow: talk
version: 1
description: Talk
slots: {note: {type: string, ask: What?}}
states:
  talk:
    generate: {instructions: Be brief., tools: [shop.look]}
"""


@pytest.fixture
async def served(tmp_path):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "talk.yaml").write_text(FLOWS)
    sections = {"flows": [str(tmp_path / "flows")], "stores": {"dialogue": "sqlite"}}
    async with serving(tmp_path / "state", **sections) as served:
        served.state = tmp_path / "state"
        served.peers.tools.add("shop.look", lambda arguments: arguments, "once")
        yield served


def canaries(state):
    """Where below the folder the canary is, and how often."""
    found = {path: path.read_bytes().count(CANARY.encode()) for path in state.rglob("*") if path.is_file()}
    return {path.name: count for path, count in found.items() if count}


async def conversation(served, word, size):
    """A session with the word in everything that is stored."""
    said = f"{word} " * size
    session = await served.open(
        "talk",
        user=word,
        labels={"place": word},
        slots=to_struct({"note": said}),
        request_id=f"{word}{uuid4()}",
    )
    for number in range(3):
        served.peers.gateway.scripts.extend([[call("shop.look", "a", what=said)], [f"You said {said}"]])
        await served.send(session, f"I live at {said}", request_id=f"{word}-{number}")
    return session


async def test_the_words_of_a_deleted_session_are_gone_within_five_seconds(served):
    chance = random.Random(7)
    deleted, kept = [], []
    for _ in range(30):
        deleted.append(await conversation(served, CANARY, chance.randint(1, 300)))
        kept.append(await conversation(served, "Elsewhere", chance.randint(1, 300)))
    assert canaries(served.state).keys() == {"sessions.db", "sessions.db-wal"}
    for session in deleted:
        await served.dialogue.DeleteSession(pb.DeleteSessionRequest(session_id=session.id))
    await until(lambda: not canaries(served.state))
    for session in deleted:
        error = await rpc_error(served.dialogue.GetSession(pb.GetSessionRequest(session_id=session.id)))
        assert error.reason == "SESSION_NOT_FOUND"
    for session in kept:
        turns = (await served.dialogue.ListTurns(pb.ListTurnsRequest(session_id=session.id))).turns
        assert len(turns) == 3


def remains(state, words):
    """The words that are anywhere below the folder."""
    content = b"\0".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    return [word for word in words if word.encode() in content]


async def opened_shortly(served):
    """A session of short rows, and the words by which it can be found in a file."""
    word = uuid4().hex
    session = await served.open(
        "talk",
        user=f"user-{word}",
        labels={"place": f"label-{word}"},
        slots=to_struct({"note": f"slot-{word}"}),
        request_id=f"opening-{word}",
    )
    return session, (word, session.id)


async def talk_shortly(served, session, word):
    """Two turns with the word in everything that is stored of them."""
    served.peers.gateway.scripts.extend([[call("shop.look", "a", what=f"tool-{word}")], [f"reply-{word}"]])
    await served.send(session, f"said-{word}", request_id=f"first-{word}")
    await served.send(
        session, event=Event(name="paid", data=to_struct({"by": f"event-{word}"})), request_id=f"event-{word}"
    )
    assert not served.peers.gateway.scripts


async def test_ids_and_short_words_leave_the_pages_that_other_sessions_share(served):
    # Random ids split the pages of indexes, and rows that grow split those of tables.
    opened = await asyncio.gather(*(opened_shortly(served) for _ in range(200)))
    for session, (word, _) in opened[::10]:
        await talk_shortly(served, session, word)
    random.Random(5).shuffle(opened)
    deleted, kept = opened[:100], opened[100:]
    words = [word for _, found in deleted for word in found]
    assert remains(served.state, words) == words
    for session, (word, _) in deleted:
        request = pb.DeleteSessionRequest(session_id=session.id, request_id=f"delete-{word}")
        receipt = await served.dialogue.DeleteSession(request)
        assert receipt == await served.dialogue.DeleteSession(request)
    await until(lambda: not remains(served.state, words))
    expected = [word for _, found in kept for word in found]
    assert remains(served.state, expected) == expected
    for session, _ in kept:
        assert (await served.dialogue.GetSession(pb.GetSessionRequest(session_id=session.id))).session
