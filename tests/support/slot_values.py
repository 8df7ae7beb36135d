"""The slot values that the rules extract from a message, in one call, and the flow that most tests use."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.rule_commands import generate_commands

from tests.support.flows import NOW, compiled

BOOKING = """
slots:
  party_size: {type: integer, hints: [people, guests, of us, 位, 个人]}
  date: {type: date}
  time: {type: time, min: "11:00", max: "22:00"}
  seat: {type: enum, values: {inside: [indoors, 室内], terrace: [outside, 露台]}}
  name: {type: string}
  confirmed: {type: boolean, fill: asked_only}
states: {a: {end: true}}
"""


def in_both_languages(body: str) -> Mapping[str, Flow]:
    """The flow in English and in Chinese, by language."""
    return {"en": compiled(body), "zh": compiled(f"locale: zh\n{body}", "zh")}


BOOKING_FLOWS = in_both_languages(BOOKING)
"""A flow that books a table, by language."""


def slot_values(flow: Flow, text: str, asked: str = "", known: Mapping[str, object] | None = None):
    """The values that a message sets, by slot; both values of a slot that it leaves open."""
    commands = generate_commands(MessageContext(flow, known or {}, asked), text, NOW)
    return {each.target: each.value for each in commands if each.target}
