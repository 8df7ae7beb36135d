"""What rules understand of a message, in as few words as the tests of them need."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.rule_commands import generate_commands

from tests.support.flows import NOW, compiled

TABLE = """
slots:
  party_size: {type: integer, hints: [people, guests, of us, 位, 个人]}
  date: {type: date}
  time: {type: time, min: "11:00", max: "22:00"}
  seat: {type: enum, values: {inside: [indoors, 室内], terrace: [outside, 露台]}}
  name: {type: string}
  confirmed: {type: boolean, fill: asked_only}
states: {a: {end: true}}
"""


def in_both(body: str) -> Mapping[str, Flow]:
    """A flow in English and in Chinese, by language."""
    return {"en": compiled(body), "zh": compiled(f"locale: zh\n{body}", "zh")}


TABLES = in_both(TABLE)
"""A table to be booked."""


def heard(flow: Flow, text: str, asked: str = "", known: Mapping[str, object] | None = None):
    """What a message fills, corrects or leaves open (then both values), by slot."""
    commands = generate_commands(MessageContext(flow, known or {}, asked), text, NOW)
    return {each.target: each.value for each in commands if each.target}
