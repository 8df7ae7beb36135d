"""Whole numbers beyond 2^53 stay what they are: in commands of a model, and in results of tools."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import Part
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE
from clawdbot.plugins.v1.tool_service_pb2 import ToolOutcome

from tests.support.engine_cluster import reply_texts
from tests.support.scripted_peers import call

BIG = 2512292042121000001

FLOW = """
flow: big_order
version: 1
description: Find an order
understanding: {model: small}
slots:
  number: {type: integer, ask: Which order?}
states:
  ask: {collect: [number], next: look}
  look:
    call: {tool: shop.find, args: {order: "${2512292042121000001}"}, effect: none}
    next: [{if: "result.order == 2512292042121000001", to: found}, {on_error: any, to: failed}, {to: failed}]
  found: {say: "It is that one.", end: true}
  failed: {say: "Not that one.", end: true}
interrupts: {allow: [cancel]}
"""


@pytest.fixture
async def session(cluster):
    cluster.flow(FLOW)
    return await cluster.open_session("big_order")


def found(structured_json):
    outcome = ToolOutcome(content=[Part(text="found")], structured_json=structured_json)
    outcome.structured.update({"order": float(BIG)})
    return outcome


async def test_a_result_of_a_tool_is_exact_in_guards_and_in_the_turn(cluster, session):
    cluster.tools.add("shop.find", found(json.dumps({"order": BIG})))
    turn = (await cluster.send(session, "4")).turn
    assert str(BIG) in cluster.tools.calls[-1].arguments_json
    assert reply_texts(turn) == ["It is that one."]
    assert json.loads(turn.tool_calls[0].result.structured_json) == {"order": BIG}


async def test_a_result_that_is_no_object_does_not_stop_the_session(cluster, session):
    cluster.tools.add("shop.find", found("[1]"))
    turn = (await cluster.send(session, "4")).turn
    assert turn.tool_calls[0].result.structured["reason"] == "RESULT_INVALID"
    assert turn.status == TURN_STATUS_DONE


@pytest.mark.parametrize(("number", "accepted"), [(2**53, True), (2**53 + 1, False)])
async def test_a_model_sets_a_slot_to_what_it_said_and_not_to_what_a_struct_makes_of_it(
    cluster, session, number, accepted
):
    cluster.tools.add("shop.find", found(json.dumps({"order": BIG})))
    proposed = call("set_slot", slot="number", value=float(number))
    proposed.arguments_json = json.dumps({"slot": "number", "value": number})
    cluster.gateway.scripts.append([proposed])
    (command,) = (await cluster.send(session, "the usual one")).turn.commands
    assert command.accepted is accepted
