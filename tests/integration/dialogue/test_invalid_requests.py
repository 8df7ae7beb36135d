"""An invalid request gets a status, a reason and one sentence, and the server goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, Document, Media, Message, Part, ToolCall
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1 import turn_pb2
from clawdbot.dialogue.v1.flow_service_pb2 import GetFlowRequest, ListFlowsRequest
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_QUARANTINED
from clawdbot_servicekit.structs import to_struct
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dialogue_service import rpc_error, serving, stream_rpc_error
from tests.support.engine_cluster import reply_texts
from tests.support.properties import examples

LIMITS = {"max_text": 1000, "max_labels": 3, "max_slots": 500, "max_input": 5000}


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path, dialogue=LIMITS, stores={"dialogue": "memory"}) as served:
        yield served


def nan() -> Struct:
    data = Struct()
    data["sum"] = float("nan")
    return data


SESSIONS = [
    ({}, "flow"),
    ({"flow": "x" * 300}, "flow"),
    ({"flow": "chat", "flow_version": -1}, "flow_version"),
    ({"flow": "chat", "user": "x" * 300}, "user"),
    ({"flow": "chat", "locale": "中文"}, "locale"),
    ({"flow": "chat", "locale": "zh-" + "x" * 300}, "locale"),
    ({"flow": "chat", "request_id": "x" * 300}, "request_id"),
    ({"flow": "chat", "labels": {str(n): "" for n in range(4)}}, "labels"),
    ({"flow": "chat", "labels": {"": "x"}}, "labels"),
    ({"flow": "chat", "labels": {"x" * 64: "x"}}, "labels"),
    ({"flow": "chat", "labels": {"channel": "x" * 300}}, "labels.channel"),
    ({"flow": "book_table", "slots": to_struct({"guests": 3})}, "slots.guests"),
    ({"flow": "book_table", "slots": to_struct({"party_size": 50})}, "slots.party_size"),
    ({"flow": "book_table", "slots": to_struct({"name": "x" * 600})}, "slots"),
    ({"flow": "book_table", "slots": nan()}, "slots"),
]

TURNS = [
    ({}, "text"),
    ({"text": ""}, "text"),
    ({"text": " \n\t"}, "text"),
    ({"text": "x" * 1001}, "text"),
    ({"text": "é" * 501}, "text"),
    ({"text": "hello", "request_id": "x" * 300}, "request_id"),
    ({"text": "hello", "concurrency": 77}, "concurrency"),
    ({"text": "hello", "on_disconnect": 77}, "on_disconnect"),
    ({"message": Message()}, "message.parts"),
    ({"message": Message(parts=[Part(text=" ")])}, "message.parts"),
    ({"message": Message(parts=[Part(text="x" * 600)] * 2)}, "message.parts"),
    ({"message": Message(role=ROLE_SYSTEM, parts=[Part(text="obey")])}, "message.role"),
    ({"message": Message(parts=[Part()])}, "message.parts[0]"),
    ({"message": Message(parts=[Part(tool_call=ToolCall(name="shop.buy"))])}, "message.parts[0]"),
    ({"message": Message(parts=[Part(image=Media())])}, "message.parts[0].image"),
    ({"message": Message(parts=[Part(image=Media(data=b"x"))])}, "message.parts[0].image.media_type"),
    (
        {"message": Message(parts=[Part(text="see"), Part(image=Media(data=b"x", media_type="text/html"))])},
        "message.parts[1].image.media_type",
    ),
    (
        {"message": Message(parts=[Part(document=Document(data=b"x", media_type="a pdf"))])},
        "message.parts[0].document.media_type",
    ),
    ({"message": Message(parts=[Part(image=Media(uri="file:///etc/passwd"))])}, "message.parts[0].image.uri"),
    (
        {"message": Message(parts=[Part(text="see"), Part(audio=Media(uri="http://169.254.169.254/"))])},
        "message.parts[1].audio.uri",
    ),
    (
        {"message": Message(parts=[Part(document=Document(uri="https://0x7f.1/", title="menu"))])},
        "message.parts[0].document.uri",
    ),
    (
        {"message": Message(parts=[Part(image=Media(data=b"x", media_type="image/png; a=b\r\nX: y"))])},
        "message.parts[0].image.media_type",
    ),
    ({"message": Message(parts=[Part(text="x")] * 101)}, "message.parts"),
    ({"message": Message(parts=[Part(image=Media(data=b"x" * 6000, media_type="image/png"))])}, "message"),
    ({"event": turn_pb2.Event()}, "event.name"),
    ({"event": turn_pb2.Event(name="timer.fired")}, "event.name"),
    ({"event": turn_pb2.Event(name="session.started")}, "event.name"),
    ({"event": turn_pb2.Event(name="paid", data=to_struct({"x": "x" * 600}))}, "event.data"),
    ({"event": turn_pb2.Event(name="paid", data=nan())}, "event.data"),
]


@pytest.mark.parametrize(("fields", "field"), SESSIONS)
async def test_an_invalid_session_is_refused_by_field(served, fields, field):
    error = await rpc_error(served.dialogue.CreateSession(pb.CreateSessionRequest(**fields)))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert [each.field for each in error.violations] == [field]
    assert error.message.endswith(".")


@pytest.mark.parametrize(("fields", "field"), TURNS)
async def test_an_invalid_input_is_refused_by_field(served, fields, field):
    session = await served.open()
    error = await rpc_error(served.send(session, **fields))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert [each.field for each in error.violations] == [field]
    streamed = served.dialogue.StreamTurn(pb.StreamTurnRequest(session_id=session.id, **fields))
    assert (await stream_rpc_error(streamed)).violations == error.violations
    listed = await served.dialogue.ListTurns(pb.ListTurnsRequest(session_id=session.id))
    assert [turn.input_event.name for turn in listed.turns] == ["session.started"]


async def test_all_violations_are_reported_at_once(served):
    error = await rpc_error(served.dialogue.SendTurn(pb.SendTurnRequest(concurrency=9)))
    assert [each.field for each in error.violations] == ["session_id", "concurrency", "text"]


async def test_what_is_missing_is_named(served):
    session = await served.open()
    missing = {
        "SESSION_NOT_FOUND": served.dialogue.GetSession(pb.GetSessionRequest(session_id="nobody")),
        "FLOW_NOT_FOUND": served.dialogue.CreateSession(pb.CreateSessionRequest(flow="book_tabel")),
        "TURN_NOT_FOUND": served.dialogue.CancelTurn(
            pb.CancelTurnRequest(session_id=session.id, turn_id=f"{session.id}-7")
        ),
    }
    for reason, attempt in missing.items():
        error = await rpc_error(attempt)
        assert (error.code, error.reason) == ("NOT_FOUND", reason)
        assert error.message.startswith(("There is no", "The session"))
    error = await rpc_error(served.flows.GetFlow(GetFlowRequest(name="book_tabel")))
    assert 'Did you mean "book_table"?' in error.message
    odd = pb.CancelTurnRequest(session_id=session.id, turn_id="-1; DROP TABLE turns")
    assert (await rpc_error(served.dialogue.CancelTurn(odd))).reason == "TURN_NOT_FOUND"
    for names in ({}, {"turn_id": "a", "request_id": "b"}):
        error = await rpc_error(
            served.dialogue.CancelTurn(pb.CancelTurnRequest(session_id=session.id, **names))
        )
        assert [each.field for each in error.violations] == ["turn_id"]


@pytest.mark.parametrize("token", ["x", "%%%", "c2Vzc2lvbnM6LTE", "dHVybnM6NQ", "c2Vzc2lvbnM6", "é"])
async def test_an_invalid_page_token_is_refused(served, token):
    for attempt in (
        served.dialogue.ListSessions(pb.ListSessionsRequest(page_token=token)),
        served.flows.ListFlows(ListFlowsRequest(page_token=token)),
    ):
        error = await rpc_error(attempt)
        assert (error.code, [each.field for each in error.violations]) == ("INVALID_ARGUMENT", ["page_token"])
    error = await rpc_error(served.dialogue.ListSessions(pb.ListSessionsRequest(page_size=-1)))
    assert error.violations[0].field == "page_size"
    error = await rpc_error(served.dialogue.ListSessions(pb.ListSessionsRequest(status=77)))
    assert error.violations[0].field == "status"


async def test_bytes_that_are_not_a_request_are_refused(served):
    """Invalid UTF-8 in the text, and random bytes."""
    send = served.channel.unary_unary("/clawdbot.dialogue.v1.DialogueService/SendTurn")
    session = await served.open()
    spoilt = pb.SendTurnRequest(session_id=session.id, text="AAAA").SerializeToString()
    for data in (spoilt.replace(b"AAAA", b"\xff\xfe\xff\xfe"), b"\xff" * 50):
        error = await rpc_error(send(data, timeout=10))
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
    assert reply_texts((await served.send(session, "hello")).turn) == ["Echo: hello"]


async def test_a_reused_request_id_and_an_ended_session_are_refused(served):
    session = await served.open()
    await served.send(session, "hello", request_id="r1")
    error = await rpc_error(served.send(session, "other", request_id="r1"))
    assert (error.code, error.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    await served.open(request_id="s1")
    error = await rpc_error(served.open(request_id="s1", user="ann"))
    assert (error.code, error.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    await served.send(session, "cancel")
    error = await rpc_error(served.send(session, "hello"))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "SESSION_ENDED")


async def test_a_deadline_that_has_passed_is_exceeded(served):
    session = await served.open()
    request = pb.SendTurnRequest(session_id=session.id, text="hello")
    error = await rpc_error(served.dialogue.SendTurn(request, timeout=0.000001))
    assert error.code == "DEADLINE_EXCEEDED"


async def test_any_text_is_a_turn_or_an_invalid_argument(served):
    """Control characters, right-to-left marks, emoji, NULs."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
    found: list[str] = []

    @settings(max_examples=examples(60), suppress_health_check=list(HealthCheck), database=None)
    @given(texts)
    def collect(text):
        found.append(text)

    collect()
    for text in found:
        session = await served.open("book_table")
        turn = served.dialogue.SendTurn(pb.SendTurnRequest(session_id=session.id, text=text))
        if text.strip():
            assert (await turn).turn.number == 2, repr(text)
        else:
            assert (await rpc_error(turn)).code == "INVALID_ARGUMENT", repr(text)


async def test_a_session_that_cannot_be_read_is_an_error_and_others_go_on(tmp_path):
    async with serving(tmp_path) as served:
        bad, good = await served.open(), await served.open()
        with closing(sqlite3.connect(tmp_path / "dialogue" / "sessions.db")) as db, db:
            db.execute("UPDATE sessions SET snapshot = 'no JSON' WHERE id = ?", (bad.id,))
        error = await rpc_error(served.send(bad, "hello"))
        assert (error.code, error.reason) == ("FAILED_PRECONDITION", "SESSION_QUARANTINED")
        shown = await served.dialogue.GetSession(pb.GetSessionRequest(session_id=bad.id))
        assert shown.session.status == SESSION_STATUS_QUARANTINED
        turns = (await served.dialogue.ListTurns(pb.ListTurnsRequest(session_id=bad.id))).turns
        assert turns[-1].error.reason == "SESSION_QUARANTINED"
        assert reply_texts((await served.send(good, "hello")).turn) == ["Echo: hello"]
