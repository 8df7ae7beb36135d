"""Conversations over gRPC: responses, streams, errors, tenants and hooks."""

from __future__ import annotations

import asyncio
import json

import pytest
from clawdbot.common.v1 import message_pb2
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1 import turn_pb2
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED
from clawdbot.plugins.v1 import hook_service_pb2 as hook
from clawdbot_dialogue.core.turns.ports import GenerationError
from clawdbot_servicekit.structs import to_struct
from google.protobuf.duration_pb2 import Duration

from tests.support.dialogue_service import rpc_error, serving, stream_rpc_error
from tests.support.engine_cluster import event_kinds, reply_texts, streamed_text
from tests.support.scripted_peers import Hold, call

FLOWS = """
flow: order
version: 1
description: Order something
slots:
  count: {type: integer, min: 1, max: 9, ask: How many?}
states:
  ask: {collect: [count], next: [{to: buy}]}
  buy:
    call: {tool: shop.buy, args: {count: "${slots.count}"}, effect: once}
    next:
      - {if: result.ok, to: thanks}
      - {on_error: any, say: "That was not bought.", to: ask, clear: [count]}
      - {to: ask, clear: [count]}
  thanks: {say: Thank you., end: true}
"""


@pytest.fixture(params=["memory", "sqlite"])
async def served(request, tmp_path):
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "order.yaml").write_text(FLOWS)
    sections = {"flows": [str(flows)], "stores": {"dialogue": request.param}}
    async with serving(
        tmp_path / "state", dialogue={"max_text": 1000, "max_labels": 3}, **sections
    ) as served:
        served.peers.tools.add("shop.buy", {"ok": True}, "once")
        yield served


# Conversations


async def test_a_conversation_from_opening_to_end(served):
    opened = await served.dialogue.CreateSession(
        pb.CreateSessionRequest(flow="order", user="ann", labels={"channel": "web"}, request_id="s1")
    )
    assert reply_texts(opened.opening) == ["How many?"]
    response = await served.send(opened.session, "3")
    assert reply_texts(response.turn) == ["Thank you."]
    assert response.session.status == SESSION_STATUS_ENDED
    shown = await served.dialogue.GetSession(pb.GetSessionRequest(session_id=opened.session.id))
    assert shown.session == response.session
    assert (shown.session.user, shown.session.labels["channel"], shown.session.tenant) == (
        "ann",
        "web",
        "default",
    )
    listed = await served.dialogue.ListTurns(pb.ListTurnsRequest(session_id=opened.session.id))
    assert list(listed.turns) == [opened.opening, response.turn]


async def test_a_models_reply_is_streamed_to_the_caller(served):
    session = await served.open()
    hold = Hold()
    served.peers.gateway.scripts.append(["one ", hold, "two"])
    events = aiter(served.stream(session, "hello"))
    seen = [await anext(events), await anext(events)]
    assert event_kinds(seen) == ["turn_started", "text_delta"]
    assert streamed_text(seen) == "one "
    hold.go_on.set()
    rest = [event async for event in events]
    assert streamed_text(rest) == "two"
    assert reply_texts(rest[-1].turn_finished.turn) == ["one two"]


async def test_a_retry_of_a_broken_stream_joins_from_the_first_event(served):
    session = await served.open()
    hold = Hold()
    served.peers.gateway.scripts.append(["one ", hold, "two"])
    broken = served.stream(session, "hello", request_id="r1")
    seen = [await broken.read(), await broken.read()]
    broken.cancel()
    again = aiter(served.stream(session, "hello", request_id="r1"))
    first = await anext(again)
    assert first.turn_started.joined
    assert await anext(again) == seen[1]
    hold.go_on.set()
    assert streamed_text([event async for event in again]) == "two"
    assert len(served.peers.gateway.requests) == 1


async def test_a_turn_runs_on_after_its_callers_deadline(served):
    session = await served.open()
    hold = Hold()
    served.peers.gateway.scripts.append([hold, "late"])
    request = pb.SendTurnRequest(session_id=session.id, text="hello", request_id="r1")
    error = await rpc_error(served.dialogue.SendTurn(request, timeout=0.2))
    assert error.code == "DEADLINE_EXCEEDED"
    hold.go_on.set()
    assert reply_texts((await served.dialogue.SendTurn(request, timeout=20)).turn) == ["late"]
    assert len(served.peers.gateway.requests) == 1


async def test_a_turn_can_be_cancelled_with_its_caller(served):
    session = await served.open()
    hold = Hold()
    served.peers.gateway.scripts.append(["Half", hold])
    fields = {"request_id": "r1", "on_disconnect": pb.DISCONNECT_POLICY_CANCEL}
    stream = served.stream(session, "hello", **fields)
    # Waits until the service has streamed the text: the model has sent it before.
    while not (await stream.read()).text_delta.text:
        pass
    stream.cancel()
    response = await served.send(session, "hello", **fields)
    assert response.turn.status == turn_pb2.TURN_STATUS_CANCELLED
    assert reply_texts(response.turn) == ["Half"]


@pytest.mark.parametrize("by", ["turn_id", "request_id"])
async def test_a_turn_is_cancelled_by_turn_id_or_request_id(served, by):
    session = await served.open()
    hold = Hold()
    served.peers.gateway.scripts.append(["Half", hold])
    events = aiter(served.stream(session, "hello", request_id="r1"))
    started = (await anext(events)).turn_started
    await hold.reached.wait()
    name = {"turn_id": started.turn_id} if by == "turn_id" else {"request_id": "r1"}
    request = pb.CancelTurnRequest(session_id=session.id, **name)
    response = await served.dialogue.CancelTurn(request, timeout=20)
    assert response.turn.status == turn_pb2.TURN_STATUS_CANCELLED
    rest = [event async for event in events]
    assert rest[-1].turn_finished.turn == response.turn
    assert (await served.dialogue.CancelTurn(request, timeout=20)).turn == response.turn


async def test_a_message_and_an_event_are_inputs(served):
    session = await served.open()
    part = message_pb2.Part(text="hello")
    picture = message_pb2.Part(image=message_pb2.Media(data=b"png", media_type="image/png"))
    response = await served.send(session, message=message_pb2.Message(parts=[part, picture]))
    assert reply_texts(response.turn) == ["Echo: hello"]
    assert response.turn.input.role == message_pb2.ROLE_USER
    assert served.peers.gateway.requests[0].messages[-1].parts[1] == picture
    response = await served.send(session, event=turn_pb2.Event(name="payment", data=to_struct({"sum": 3})))
    assert response.turn.status == turn_pb2.TURN_STATUS_DONE
    assert response.turn.input_event.data["sum"] == 3


async def test_pages_of_sessions_and_turns_hold_everything_once(served):
    made = [await served.open(user=f"user {n % 2}") for n in range(7)]
    request, seen = pb.ListSessionsRequest(page_size=3), []
    while True:
        page = await served.dialogue.ListSessions(request)
        seen += [session.id for session in page.sessions]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == [session.id for session in reversed(made)]
    mine = await served.dialogue.ListSessions(pb.ListSessionsRequest(user="user 1"))
    assert len(mine.sessions) == 3
    for n in range(5):
        await served.send(made[0], f"say {n}")
    turns = pb.ListTurnsRequest(session_id=made[0].id, page_size=2)
    first = await served.dialogue.ListTurns(turns)
    turns.page_token = first.next_page_token
    second = await served.dialogue.ListTurns(turns)
    assert [turn.number for turn in (*first.turns, *second.turns)] == [1, 2, 3, 4]
    back = pb.ListTurnsRequest(session_id=made[0].id, page_size=4, newest_first=True)
    last = await served.dialogue.ListTurns(back)
    back.page_token = last.next_page_token
    earliest = await served.dialogue.ListTurns(back)
    numbers = [turn.number for turn in (*last.turns, *earliest.turns)]
    assert numbers == list(range(numbers[0], 0, -1))
    back.newest_first = False
    refused = await rpc_error(served.dialogue.ListTurns(back))
    assert refused.violations[0].field == "page_token"


async def test_a_session_is_deleted(served):
    session = await served.open("order")
    await served.send(session, "3")
    request = pb.DeleteSessionRequest(session_id=session.id, request_id="d1")
    deleted = await served.dialogue.DeleteSession(request)
    assert (deleted.turns, deleted.tool_calls) == (2, 1)
    assert await served.dialogue.DeleteSession(request) == deleted
    assert (await rpc_error(served.send(session, "hello"))).reason == "SESSION_NOT_FOUND"


async def test_an_export_is_json_lines(served):
    session = await served.open("order")
    await served.send(session, "3")
    request = pb.ExportSessionRequest(session_id=session.id)
    data = b"".join([each.data async for each in served.dialogue.ExportSession(request)])
    lines = [json.loads(line) for line in data.decode().splitlines()]
    assert [lines[0]["id"], len(lines)] == [session.id, 3]


# Peers


async def test_a_tool_call_whose_connection_broke_is_retried_with_the_same_request_id(served):
    session = await served.open("order")
    served.peers.breaks = 2
    response = await served.send(session, "3")
    assert reply_texts(response.turn) == ["Thank you."]
    assert len(served.peers.tools.calls) == 1


async def test_an_unknown_tool_takes_the_flows_error_transition(served):
    session = await served.open("order")
    del served.peers.tools._tools["shop.buy"]
    response = await served.send(session, "3")
    assert reply_texts(response.turn) == ["That was not bought.", "How many?"]
    (record,) = response.turn.tool_calls
    assert record.result.structured["reason"] == "TOOL_NOT_FOUND"
    assert not record.outcome_unknown


async def test_an_unknown_model_fails_the_turn_with_the_gateways_reason(served):
    session = await served.open()
    served.peers.gateway.scripts.append([GenerationError("MODEL_NOT_FOUND", "There is no model x.")])
    response = await served.send(session, "hello")
    assert response.turn.status == turn_pb2.TURN_STATUS_FAILED
    assert response.turn.error.message.startswith("MODEL_NOT_FOUND")
    assert "Echo" in reply_texts((await served.send(session, "again")).turn)[0]


async def test_a_models_tool_call_crosses_the_wire_and_back(served):
    session = await served.open()
    served.peers.tools.add("calculator.evaluate", {"value": 42})
    await asyncio.sleep(0)
    served.peers.gateway.scripts.append([call("calculator.evaluate", "a", expression="6 * 7")])
    served.peers.gateway.scripts.append(["42."])
    response = await served.send(session, "what is 6 times 7?")
    assert reply_texts(response.turn) == ["42."]
    assert response.turn.tool_calls[0].result.structured["value"] == 42


async def test_a_models_exact_arguments_reach_the_tool_and_go_back_to_the_model(served):
    session = await served.open()
    served.peers.tools.add("calculator.evaluate", {"value": 42})
    await asyncio.sleep(0)
    made = call("calculator.evaluate", "a", order=2512292042121000001)
    made.arguments_json = '{"order":2512292042121000001}'
    served.peers.gateway.scripts += [[made], ["Done."]]
    response = await served.send(session, "look it up")
    assert response.turn.status == turn_pb2.TURN_STATUS_DONE
    assert served.peers.tools.calls[-1].arguments_json == made.arguments_json
    assert response.turn.tool_calls[0].call.arguments_json == made.arguments_json
    parts = [part for message in served.peers.gateway.requests[-1].messages for part in message.parts]
    assert made.arguments_json in [part.tool_call.arguments_json for part in parts]


def gate(point: str) -> hook.HookRegistration:
    return hook.HookRegistration(point=point, kind=hook.HOOK_KIND_GATE, timeout=Duration(seconds=20))


async def test_a_hook_can_refuse_a_turn_and_observes_finished_ones(tmp_path):
    observer = hook.HookRegistration(point="turn_done", kind=hook.HOOK_KIND_OBSERVE)
    async with serving(tmp_path, hooks=[gate("before_turn"), observer]) as served:
        session = await served.open()
        await served.send(session, "hello")
        subject = await asyncio.wait_for(served.peers.observed.get(), 10)
        assert (subject.point, subject.session_id) == ("turn_done", session.id)
        served.peers.refusal = hook.GateResponse(
            plugin="limiter", reason="RATE_LIMITED", message="Slowly.", retry_after=Duration(seconds=7)
        )
        error = await rpc_error(served.send(session, "hello"))
        assert (error.code, error.reason, error.message) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Slowly.")
        assert error.retry_after == 7


# Tenants


async def test_a_tenants_sessions_are_not_found_by_another(tmp_path):
    keys = [
        {"id": name, "tenant": name, "key": f"{name}-0123456789abcdef0123"} for name in ("acme", "umbrella")
    ]
    auth = {"keys": keys, "service_token": "between-services-0123456789"}
    async with serving(tmp_path, auth=auth) as served:
        mine = {"metadata": (("authorization", "Bearer acme-0123456789abcdef0123"),), "timeout": 20}
        theirs = {"metadata": (("authorization", "Bearer umbrella-0123456789abcdef0123"),), "timeout": 20}
        session = (await served.dialogue.CreateSession(pb.CreateSessionRequest(flow="chat"), **mine)).session
        assert session.tenant == "acme"
        turn = pb.SendTurnRequest(session_id=session.id, text="hello", request_id="r1")
        await served.dialogue.SendTurn(turn, **mine)
        assert served.peers.tenants == ["acme"]
        for attempt in (
            served.dialogue.GetSession(pb.GetSessionRequest(session_id=session.id), **theirs),
            served.dialogue.SendTurn(turn, **theirs),
            served.dialogue.ListTurns(pb.ListTurnsRequest(session_id=session.id), **theirs),
            served.dialogue.CancelTurn(
                pb.CancelTurnRequest(session_id=session.id, request_id="r1"), **theirs
            ),
            served.dialogue.DeleteSession(pb.DeleteSessionRequest(session_id=session.id), **theirs),
        ):
            assert (await rpc_error(attempt)).reason == "SESSION_NOT_FOUND"
        listed = await served.dialogue.ListSessions(pb.ListSessionsRequest(), **theirs)
        assert list(listed.sessions) == []


async def test_rpcs_of_a_later_version_are_unimplemented(served):
    for response in (
        await rpc_error(served.dialogue.ForkSession(pb.ForkSessionRequest())),
        await stream_rpc_error(served.dialogue.WatchSession(pb.WatchSessionRequest())),
        await stream_rpc_error(served.dialogue.Converse(iter(()))),
    ):
        assert (response.code, response.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED_YET")


async def test_a_turn_is_explained_by_turn_id_or_request_id(served):
    session = (await served.dialogue.CreateSession(pb.CreateSessionRequest(flow="order"))).session
    turn = (await served.send(session, "3", request_id="r1")).turn
    by_id = await served.dialogue.ExplainTurn(pb.ExplainTurnRequest(session_id=session.id, turn_id=turn.id))
    by_name = await served.dialogue.ExplainTurn(pb.ExplainTurnRequest(session_id=session.id, request_id="r1"))
    assert by_id == by_name
    assert by_id.explanation.steps[0].commands_generated.commands[0].name == "set_slot"
