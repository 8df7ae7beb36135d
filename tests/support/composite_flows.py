"""Flows with composite slots, and conversations in them."""

from __future__ import annotations

from tests.support.flows import Talk, compiled

VISIT = """
locales: [en, zh]
slots:
  when: {type: datetime, min: now, max: now+7d, ask: {en: When?, zh: 什么时候？}}
  reason: {type: string, ask: {en: Why?, zh: 为什么？}}
states:
  ask: {collect: [when, reason], next: sure}
  sure: {say: {en: "On {when}.", zh: "{when}。"}, next: [{event: go, to: done}]}
  done: {end: true}
interrupts: {allow: [faq]}
"""
ADDRESS = """
slots:
  address:
    type: object
    ask: Where do you live?
    fields:
      street: {type: string, min_length: 3, ask: Which street?}
      number: {type: integer, min: 1, hints: [number], ask: Which number?}
      since: {type: datetime, ask: Since when?, required: false}
      floor: {type: enum, values: [ground, upper], required: false}
  pets: {type: integer, hints: [pets], ask: How many pets?}
states:
  ask: {collect: [address, pets], next: done}
  done: {say: "{address}", end: true}
"""
GUESTS = """
locales: [en, zh]
slots:
  guests:
    type: list
    items: {type: string}
    ask: {en: Who comes?, zh: 谁来？}
    more: {en: Who else?, zh: 还有谁？}
    min_items: 2
    max_items: 4
  sure: {type: boolean, fill: asked_only, ask: {en: "{guests}?", zh: "{guests}？"}}
states:
  ask: {collect: [guests], next: check}
  check: {collect: [sure], next: [{if: slots.sure, to: done}, {to: ask, clear: [guests]}]}
  done: {end: true}
"""
ORDER = """
slots:
  order:
    type: list
    more: Anything else?
    items:
      type: object
      fields:
        dish: {type: enum, values: [soup, cake], ask: Soup or cake?}
        count: {type: integer, min: 1, max: 9, ask: How many?}
        note: {type: string, required: false}
  ages: {type: list, items: {type: integer, min: 0, max: 17}, ask: How old are the children?}
states:
  ask: {collect: [order, ages], next: done}
  done: {say: "{order}; {ages}", end: true}
"""


def drafts(talk: Talk) -> dict[str, object]:
    """The partial values of slots that have no value yet."""
    return dict(talk.snapshot.frames[-1].drafts)


def conversation(body: str, *lines: str) -> Talk:
    """A conversation in the flow after some messages."""
    talk = Talk.about(compiled(body))
    for line in lines:
        talk.say(line)
    return talk
