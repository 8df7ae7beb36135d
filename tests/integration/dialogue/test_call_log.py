"""The log says which session and turn a call was about, also when the call fails."""

from __future__ import annotations

import grpc.aio
import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from structlog.testing import capture_logs

from tests.support.conditions import until
from tests.support.dialogue_service import serving

FLOW = """
flow: order
version: 1
description: Order something
slots:
  count: {type: integer, ask: How many?}
states:
  ask: {collect: [count], next: [{to: thanks}]}
  thanks: {say: Thank you., end: true}
"""


@pytest.fixture
async def served(tmp_path):
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "order.yaml").write_text(FLOW)
    async with serving(tmp_path / "state", flows=[str(flows)], stores={"dialogue": "memory"}) as served:
        yield served


async def logged(stub, request):
    """The log line of a call, which may fail or be a stream."""
    call, method = stub(request), stub._method.decode().lstrip("/")
    with capture_logs() as log:
        try:
            if isinstance(call, grpc.aio.UnaryStreamCall):
                [_ async for _ in call]
            else:
                await call
        except grpc.aio.AioRpcError:
            pass
        # The caller has its response before the server has written its line.
        return (await until(lambda: [line for line in log if line.get("method") == method]))[0]


@pytest.fixture
async def turn(served):
    """The first turn of a session, which was sent with the request id r1."""
    created = await served.dialogue.CreateSession(pb.CreateSessionRequest(flow="order"))
    request = pb.SendTurnRequest(session_id=created.session.id, request_id="r1", text="four")
    return (await served.dialogue.SendTurn(request)).turn


@pytest.mark.parametrize("method", ["ExplainTurn", "CancelTurn"])
async def test_a_call_about_a_turn_logs_session_and_turn_however_it_names_the_turn(served, turn, method):
    session = turn.session_id
    request = {"ExplainTurn": pb.ExplainTurnRequest, "CancelTurn": pb.CancelTurnRequest}[method]
    rpc = getattr(served.dialogue, method)
    by_id = await logged(rpc, request(session_id=session, turn_id=turn.id))
    by_request = await logged(rpc, request(session_id=session, request_id="r1"))
    assert [(line["session"], line["turn"]) for line in (by_id, by_request)] == [(session, turn.id)] * 2


async def test_a_streamed_turn_logs_session_and_turn(served):
    created = await served.dialogue.CreateSession(pb.CreateSessionRequest(flow="order"))
    session = created.session.id
    request = pb.StreamTurnRequest(session_id=session, request_id="r1", text="four")
    line = await logged(served.dialogue.StreamTurn, request)
    turns = (await served.dialogue.ListTurns(pb.ListTurnsRequest(session_id=session))).turns
    assert (line["session"], line["turn"]) == (session, turns[-1].id)


async def test_every_call_about_a_session_logs_it(served, turn):
    session, dialogue = turn.session_id, served.dialogue
    for stub, request in (
        (dialogue.GetSession, pb.GetSessionRequest(session_id=session)),
        (dialogue.ListTurns, pb.ListTurnsRequest(session_id=session)),
        (dialogue.ExportSession, pb.ExportSessionRequest(session_id=session)),
        (dialogue.DeleteSession, pb.DeleteSessionRequest(session_id=session)),
    ):
        assert (await logged(stub, request))["session"] == session


async def test_a_call_that_finds_nothing_logs_the_session_that_was_asked_for(served):
    for stub, request in (
        (served.dialogue.GetSession, pb.GetSessionRequest(session_id="nobody")),
        (served.dialogue.ListTurns, pb.ListTurnsRequest(session_id="nobody")),
        (served.dialogue.ExplainTurn, pb.ExplainTurnRequest(session_id="nobody", request_id="r1")),
    ):
        line = await logged(stub, request)
        assert (line["code"], line["session"]) == ("NOT_FOUND", "nobody")
