"""Why a turn went the way it went: what is kept of it, and that it is bounded."""

from __future__ import annotations

import pytest
from clawdbot.dialogue.v1.explanation_pb2 import ModelAsked
from clawdbot_dialogue.core.errors import TurnNotFound
from clawdbot_dialogue.core.turns import explanation as story
from clawdbot_dialogue.core.turns.ports import GenerationRefused

from tests.support.scripted_peers import call
from tests.support.stage import TENANT

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


async def told(stage, session, number):
    return (await stage.main.sessions.explanation(TENANT, session.id, number)).steps


def kinds(steps):
    return [step.WhichOneof("what") for step in steps]


async def test_the_opening_tells_where_it_began(stage):
    session = await stage.begin("order")
    (moved,) = await told(stage, session, 1)
    assert (moved.moved.to, moved.moved.cause) == ("ask", "started")


async def test_a_turn_tells_what_was_understood_tried_and_gone(stage):
    stage.flow(GUARDED)
    session = await stage.begin("guarded")
    await stage.send(session, "3")
    steps = await told(stage, session, 2)
    assert kinds(steps) == ["understood", "tried", "tried", "tried", "moved", "remark"]
    (command,) = steps[0].understood.commands
    assert (command.name, command.target, command.source, command.value.number_value) == (
        "set_slot",
        "count",
        "rules",
        3,
    )
    assert [(step.tried.guard, step.tried.held) for step in steps[1:4]] == [
        ("slots.count > 5", False),
        ("result.gone", False),
        ("", True),
    ]
    assert (steps[4].moved.source, steps[4].moved.to, steps[4].moved.cause) == ("ask", "few", "next")
    assert steps[5].remark.code == "guard-failed"


async def test_what_a_model_saw_to_understand_is_told(stage):
    stage.flow(GUARDED)
    session = await stage.begin("guarded")
    stage.gateway.scripts.append([call("set_slot", slot="count", value=7)])
    await stage.send(session, "the usual")
    steps = await told(stage, session, 2)
    assert kinds(steps)[:2] == ["asked", "understood"]
    asked = steps[0].asked
    assert (asked.purpose, asked.model) == (ModelAsked.PURPOSE_UNDERSTAND, "small")
    assert "Order something" in asked.instructions
    assert asked.answer.parts[0].tool_call.name == "set_slot"
    assert "set_slot" in [offer.name for offer in asked.offers]
    assert (asked.usage.input_tokens, asked.usage.output_tokens) == (10, 5)
    assert steps[1].understood.commands[0].source == "model"


async def test_what_a_model_saw_to_reply_is_told_for_each_round(stage):
    session = await stage.begin()
    stage.gateway.scripts.append([call("clock.now", "a")])
    await stage.send(session, "what time is it?")
    asked = [step.asked for step in await told(stage, session, 1) if step.HasField("asked")]
    assert [each.purpose for each in asked] == [ModelAsked.PURPOSE_REPLY] * 2
    assert list(asked[0].tools) == ["clock.now", "shop.buy"]
    assert [each.messages for each in asked] == [1, 3]
    assert asked[0].instructions == "Be brief."


async def test_a_failure_of_the_model_is_told_though_the_turn_failed(stage):
    session = await stage.begin()
    stage.gateway.scripts.append([GenerationRefused("BACKEND_DOWN", "gone")])
    await stage.send(session, "hello")
    (asked,) = [step.asked for step in await told(stage, session, 1) if step.HasField("asked")]
    assert asked.failure == "BACKEND_DOWN: gone"


async def test_a_turn_that_is_not_there_has_no_explanation(stage):
    session = await stage.begin()
    with pytest.raises(TurnNotFound):
        await told(stage, session, 7)


async def test_it_is_bounded(stage, monkeypatch):
    monkeypatch.setattr(story, "MOST", 3)
    monkeypatch.setattr(story, "MOST_BYTES", 100)
    stage.flow(GUARDED)
    session = await stage.begin("guarded")
    stage.gateway.scripts.append([call("set_slot", slot="count", value=7)])
    await stage.send(session, "the usual")
    explanation = await stage.main.sessions.explanation(TENANT, session.id, 2)
    assert explanation.truncated
    assert len(explanation.steps) == 3
    assert explanation.ByteSize() < 1000
