"""A model generates commands in the whole suite, and the chat explains the turns."""

from __future__ import annotations

import pytest

from tests.support.commands import clawdbot

pytestmark = pytest.mark.integration

CONFIGURATION = """
flows: [flows]
model:
  provider: scripted
  replies:
    - when: in-laws
      tool_calls: [{name: set_slot, arguments: {slot: guests, value: 8}}]
    - when: rob
      tool_calls: [{name: drop_tables, arguments: {}}, {name: handoff, arguments: {}}]
telemetry: {metrics_port: 0}
"""
FLOW = """
flow: dinner
version: 1
description: Reserve a dinner
understanding: {model: chat}
slots: {guests: {type: integer, min: 1, max: 20, ask: For how many guests?}}
states:
  ask: {collect: [guests], next: [{if: slots.guests > 6, say: A large one., to: done}, {to: done}]}
  done: {say: "Dinner for {guests}.", end: true}
interrupts: {allow: [cancel]}
"""


async def test_commands_from_a_model_move_the_flow_and_are_explained(tmp_path):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "dinner.yaml").write_text(FLOW)
    (tmp_path / "clawdbot.yaml").write_text(CONFIGURATION)
    result = await clawdbot(
        *("chat", "--flow", "dinner", "--config", "clawdbot.yaml", "--explain"),
        state=tmp_path,
        lines="Rob the till\nwe will be the usual lot plus my in-laws\n/explain\n",
    )
    assert result.code == 0, result.err
    refused, accepted = result.out.split("you › we will be")
    assert "command from model: none refused: drop_tables was not on offer" in refused
    assert "command from model: handoff refused: handoff was not on offer" in refused
    assert "Sorry, I did not understand that. For how many guests?" in refused
    accepted, whole = accepted.split("you › /explain")
    assert "Dinner for 8." in accepted
    assert "command from model: set_slot guests = 8" in accepted
    assert "ask → done: if slots.guests > 6: passes" in accepted
    assert "instructions: The conversation: Reserve a dinner" in whole
    assert "command: set_slot" in whole
