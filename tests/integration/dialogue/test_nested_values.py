"""What is stored can be read: deeply nested values are refused, or become an error of one call."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import Part, ToolCall, ToolResult
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, TURN_STATUS_FAILED, Event
from clawdbot.plugins.v1.tool_service_pb2 import ToolOutcome
from clawdbot_servicekit.structs import MAX_DEPTH, to_struct

from tests.support.dialogue_service import rpc_error, serving, stream_rpc_error

FLOWS = """
flow: talk
version: 1
description: Talk, and pass events on
states:
  talk:
    generate: {instructions: Be brief., tools: [shop.look]}
    next: [{event: look.closely, to: look}]
  look:
    call: {tool: shop.look, args: {what: {the: "${event.data.a}"}}}
    next:
      - {on_error: any, say: That cannot be looked at., to: talk}
      - {say: Seen., to: talk}
"""


@pytest.fixture(params=["memory", "sqlite"])
async def served(request, tmp_path):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "talk.yaml").write_text(FLOWS)
    sections = {"flows": [str(tmp_path / "flows")], "stores": {"dialogue": request.param}}
    async with serving(tmp_path / "state", **sections) as served:
        served.peers.tools.add("shop.look", {"ok": True}, "none")
        yield served


def nested(levels):
    """An object of that many levels, in which the innermost contains a text."""
    value = "x"
    for _ in range(levels):
        value = {"a": value}
    return to_struct(value, 100)


def event(levels):
    return Event(name="look.closely", data=nested(levels))


async def read_everything(served, session, request):
    """Every RPC that reads what a turn has left; returns the turn."""
    ref = {"session_id": session.id}
    await served.dialogue.GetSession(pb.GetSessionRequest(**ref))
    await served.dialogue.ListSessions(pb.ListSessionsRequest())
    turns = (await served.dialogue.ListTurns(pb.ListTurnsRequest(**ref))).turns
    for turn in turns:
        await served.dialogue.ExplainTurn(pb.ExplainTurnRequest(**ref, turn_id=turn.id))
    assert [each async for each in served.dialogue.ExportSession(pb.ExportSessionRequest(**ref))]
    joined = [each async for each in served.dialogue.StreamTurn(request)]
    assert joined[-1].turn_finished.turn == turns[-1]
    return turns[-1]


async def after(served, **content):
    """The turn with this input, as it is read afterwards."""
    session = await served.open("talk")
    request = pb.StreamTurnRequest(session_id=session.id, request_id="r1", **content)
    assert [each async for each in served.dialogue.StreamTurn(request)]
    return await read_everything(served, session, request)


@pytest.mark.parametrize("levels", [2, MAX_DEPTH])
async def test_an_event_at_the_bound_is_stored_and_read(served, levels):
    turn = await after(served, event=event(levels))
    assert turn.status == TURN_STATUS_DONE
    assert turn.input_event.data == nested(levels)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 32])
async def test_a_deeper_event_is_refused_with_its_path(served, levels):
    session = await served.open("talk")
    sent = served.dialogue.SendTurn(pb.SendTurnRequest(session_id=session.id, event=event(levels)))
    request = pb.StreamTurnRequest(session_id=session.id, event=event(levels))
    for error in (await rpc_error(sent), await stream_rpc_error(served.dialogue.StreamTurn(request))):
        assert error.code == "INVALID_ARGUMENT"
        assert [each.field for each in error.violations] == ["event.data" + ".a" * (MAX_DEPTH + 1)]
    assert not (await served.dialogue.ListTurns(pb.ListTurnsRequest(session_id=session.id))).turns


@pytest.mark.parametrize("levels", [34, 40, 90])
async def test_what_protobuf_itself_refuses_is_said_to_be_nested_too_deeply(served, levels):
    """Its parser stops first, and does not say where."""
    session = await served.open("talk")
    request = pb.SendTurnRequest(session_id=session.id)
    request.event.name = "look.closely"
    slots = pb.CreateSessionRequest(flow="talk")
    for struct in (request.event.data, slots.slots):
        inner = struct
        for _ in range(levels):
            inner = inner.fields["a"].struct_value
        inner.fields["a"].bool_value = True
    for call in (served.dialogue.SendTurn(request), served.dialogue.CreateSession(slots)):
        error = await rpc_error(call)
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
        assert "nested too deeply" in error.message
        assert f"{MAX_DEPTH} levels" in error.message


async def test_deeper_slots_are_refused_with_their_path(served):
    request = pb.CreateSessionRequest(flow="talk", slots=nested(MAX_DEPTH + 1))
    error = await rpc_error(served.dialogue.CreateSession(request))
    assert error.code == "INVALID_ARGUMENT"
    assert [each.field for each in error.violations] == ["slots" + ".a" * (MAX_DEPTH + 1)]


async def test_a_call_whose_arguments_a_flow_has_nested_too_deeply_fails(served):
    """The flow puts the data, which is at the bound, into an object of its own."""
    turn = await after(served, event=event(MAX_DEPTH))
    assert turn.replies[0].parts[0].text == "That cannot be looked at."
    (record,) = turn.tool_calls
    assert record.result.is_error
    assert served.peers.tools.calls == []


async def test_a_tools_result_at_the_bound_is_stored_and_read(served):
    served.peers.tools.add("shop.look", ToolOutcome(structured=nested(MAX_DEPTH)), "none")
    turn = await after(served, event=event(2))
    assert turn.tool_calls[0].result.structured == nested(MAX_DEPTH)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ToolOutcome(structured=nested(MAX_DEPTH + 1)), "RESULT_TOO_DEEP"),
        (ToolOutcome(structured=nested(31)), "RESULT_TOO_DEEP"),
        (ToolOutcome(content=[Part(tool_result=ToolResult(structured=nested(20)))]), "RESULT_INVALID"),
        (ToolOutcome(content=[Part(tool_call=ToolCall(name="shop.look"))]), "RESULT_INVALID"),
    ],
)
async def test_a_tools_deeper_result_is_an_error_of_that_call(served, outcome, reason):
    served.peers.tools.add("shop.look", outcome, "none")
    turn = await after(served, event=event(2))
    assert turn.status == TURN_STATUS_DONE
    (record,) = turn.tool_calls
    assert record.result.is_error
    assert record.result.structured["reason"] == reason


async def test_a_models_call_at_the_bound_is_stored_and_read(served):
    deep = ToolCall(id="a", name="shop.look", arguments=nested(MAX_DEPTH))
    served.peers.gateway.scripts.extend([[deep], ["Seen."]])
    turn = await after(served, text="look")
    assert turn.status == TURN_STATUS_DONE
    assert turn.tool_calls[0].call.arguments == nested(MAX_DEPTH)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 30])
async def test_a_models_deeper_call_is_an_error_of_that_generation(served, levels):
    deep = ToolCall(id="a", name="shop.look", arguments=nested(levels))
    served.peers.gateway.scripts.append([deep])
    turn = await after(served, text="look")
    assert turn.status == TURN_STATUS_FAILED
    assert "nested more than" in turn.error.message
    assert served.peers.tools.calls == []
