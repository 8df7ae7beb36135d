"""The explanation of a turn: what it says, and that it is bounded."""

from __future__ import annotations

import pytest
from clawdbot.dialogue.v1.explanation_pb2 import ModelCall
from clawdbot_dialogue.core.errors import TurnNotFound
from clawdbot_dialogue.core.turns import explanation
from clawdbot_dialogue.core.turns.ports import GenerationError

from tests.support.engine_cluster import TENANT
from tests.support.scripted_peers import call

GUARDED = """
flow: guarded
version: 1
description: Order something
understanding: {model: small}
slots:
  count: {type: integer, min: 1, max: 9, ask: How many?}
states:
  ask:
    collect: [count]
    next: [{if: slots.count > 5, to: many}, {if: result.gone, to: many}, {to: few}]
  many: {say: Many., end: true}
  few: {say: Few., end: true}
"""


async def explanation_steps(cluster, session, number):
    return (await cluster.newest.sessions.explain_turn(TENANT, session.id, number)).steps


def kinds(steps):
    return [step.WhichOneof("step") for step in steps]


async def test_the_opening_is_explained_by_the_transition_that_started_it(cluster):
    session = await cluster.open_session("order")
    (step,) = await explanation_steps(cluster, session, 1)
    assert (step.transition_taken.target, step.transition_taken.cause) == ("ask", "started")


async def test_a_turn_is_explained_by_commands_guards_and_transitions(cluster):
    cluster.flow(GUARDED)
    session = await cluster.open_session("guarded")
    await cluster.send(session, "3")
    steps = await explanation_steps(cluster, session, 2)
    assert kinds(steps) == [
        "commands_generated",
        "guard_evaluated",
        "guard_evaluated",
        "guard_evaluated",
        "transition_taken",
        "note",
    ]
    (command,) = steps[0].commands_generated.commands
    assert (command.name, command.target, command.source, command.value.number_value) == (
        "set_slot",
        "count",
        "rules",
        3,
    )
    assert [(step.guard_evaluated.guard, step.guard_evaluated.passed) for step in steps[1:4]] == [
        ("slots.count > 5", False),
        ("result.gone", False),
        ("", True),
    ]
    taken = steps[4].transition_taken
    assert (taken.source, taken.target, taken.cause) == ("ask", "few", "next")
    assert steps[5].note.code == "guard-failed"


async def test_a_model_call_for_commands_is_explanation_steps(cluster):
    cluster.flow(GUARDED)
    session = await cluster.open_session("guarded")
    cluster.gateway.scripts.append([call("set_slot", slot="count", value=7)])
    await cluster.send(session, "the usual")
    steps = await explanation_steps(cluster, session, 2)
    assert kinds(steps)[:2] == ["model_call", "commands_generated"]
    called = steps[0].model_call
    assert (called.purpose, called.model) == (ModelCall.PURPOSE_COMMANDS, "small")
    assert "Order something" in called.instructions
    assert called.reply.parts[0].tool_call.name == "set_slot"
    assert "set_slot" in [offer.name for offer in called.offered_commands]
    assert (called.usage.input_tokens, called.usage.output_tokens) == (10, 5)
    assert steps[1].commands_generated.commands[0].source == "model"


async def test_each_model_call_for_a_reply_is_explanation_steps(cluster):
    session = await cluster.open_session()
    cluster.gateway.scripts.append([call("clock.now", "a")])
    await cluster.send(session, "what time is it?")
    calls = [
        step.model_call
        for step in await explanation_steps(cluster, session, 1)
        if step.HasField("model_call")
    ]
    assert [each.purpose for each in calls] == [ModelCall.PURPOSE_REPLY] * 2
    assert list(calls[0].tools) == ["clock.now", "shop.buy"]
    assert [each.message_count for each in calls] == [1, 3]
    assert calls[0].instructions == "Be brief."


async def test_an_error_of_the_model_is_explained_although_the_turn_failed(cluster):
    session = await cluster.open_session()
    cluster.gateway.scripts.append([GenerationError("BACKEND_DOWN", "gone")])
    await cluster.send(session, "hello")
    steps = await explanation_steps(cluster, session, 1)
    (called,) = [step.model_call for step in steps if step.HasField("model_call")]
    assert called.error == "BACKEND_DOWN: gone"


async def test_a_missing_turn_has_no_explanation(cluster):
    session = await cluster.open_session()
    with pytest.raises(TurnNotFound):
        await explanation_steps(cluster, session, 7)


async def test_an_explanation_is_bounded(cluster, monkeypatch):
    monkeypatch.setattr(explanation, "MAX_STEPS", 3)
    monkeypatch.setattr(explanation, "MAX_MODEL_CALL_BYTES", 100)
    cluster.flow(GUARDED)
    session = await cluster.open_session("guarded")
    cluster.gateway.scripts.append([call("set_slot", slot="count", value=7)])
    await cluster.send(session, "the usual")
    kept = await cluster.newest.sessions.explain_turn(TENANT, session.id, 2)
    assert kept.truncated
    assert len(kept.steps) == 3
    assert kept.ByteSize() < 1000
