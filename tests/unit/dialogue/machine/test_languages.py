"""The conversation continues in the person's language, and switches only for a clear message in another."""

from __future__ import annotations

import json

import pytest
from clawdbot_dialogue.core.machine.events import Started
from clawdbot_dialogue.core.machine.snapshot import Snapshot, SnapshotInvalid
from clawdbot_dialogue.core.machine.step import begin

from tests.support.flows import Talk, compiled, library

FLOW = compiled("""
locales: [en, zh]
description: {en: d, zh: 说明}
slots:
  n: {type: integer, hints: {en: [people], zh: [位]}, ask: {en: How many?, zh: 几位？}}
  name: {type: string, ask: {en: Your name?, zh: 您的名字？}}
  mail: {type: email, ask: {en: Your address?, zh: 您的邮箱？}}
  note: {type: string, ask: {en: What else?, zh: 还有什么？}}
states:
  a: {collect: [n, name, mail, note], next: b}
  b: {say: {en: Bye., zh: 再见。}, end: true}
interrupts: {allow: [english, cancel]}
""")
ENGLISH = compiled(
    "triggers: [story, 故事]\nslots: {y: {type: boolean, ask: Scary?}}\n"
    "states: {a: {collect: [y], next: b}, b: {end: true}}",
    "english",
)


def talk(locale="", **slots):
    held = Talk(library(FLOW, ENGLISH).get, begin(FLOW, slots, locale))
    return held.give(Started())


@pytest.mark.parametrize(
    ("tag", "reply"),
    [("", "How many?"), ("zh-CN", "几位？"), ("zh", "几位？"), ("en-GB", "How many?"), ("fr", "How many?")],
)
def test_a_conversation_starts_in_the_requested_language(tag, reply):
    assert talk(tag).replies == [reply]


def test_a_message_in_another_language_switches_the_conversation():
    held = talk()
    assert held.say("四位").replies == ["您的名字？"]
    assert held.snapshot.locale == "zh"
    assert held.say("Ada Lovelace").replies == ["您的邮箱？"]
    assert held.say("what did you say?").replies == ["Sorry, I did not understand that. Your address?"]
    assert held.snapshot.locale == "en"


@pytest.mark.parametrize(
    ("locale", "known", "text"),
    [
        ("zh", {}, "4"),
        ("zh", {}, "ok"),
        ("zh", {}, "Yes!"),
        ("zh", {}, "7pm"),
        ("zh", {}, "7 PM"),
        ("zh", {}, "👍"),
        ("zh", {}, "4位 VIP"),
        ("zh", {"n": 1}, "Ada"),
        ("zh", {"n": 1}, "Ada King Lovelace"),
        ("zh", {"n": 1}, "我叫 Ada King Lovelace"),
        ("zh", {"n": 1, "name": "x"}, "ada@example.com"),
        ("zh", {}, "https://example.com/menu"),
        ("zh", {}, "A-17"),
        ("en", {"n": 1}, "李雷"),
        ("en", {}, "a table under 李雷 please"),
        ("en", {}, "123 !?"),
    ],
)
def test_a_message_not_clearly_in_another_language_switches_nothing(locale, known, text):
    assert talk(locale, **known).say(text).snapshot.locale == locale


@pytest.mark.parametrize(
    ("locale", "known", "text"),
    [
        ("zh", {}, "tomorrow"),
        ("zh", {}, "cancel"),
        ("zh", {"n": 1}, "cancel"),
        ("zh", {"n": 1}, "I do not want to say"),
        ("zh", {"n": 1, "name": "x", "mail": "a@b.example"}, "no nuts please"),
        ("en", {}, "四"),
        ("en", {"n": 1}, "取消"),
        ("en", {"n": 1}, "我叫李雷，你呢"),
        ("en", {}, "明晚七点 VIP 包间"),
        ("en", {}, "謝謝"),
    ],
)
def test_a_message_clearly_in_another_language_switches_it(locale, known, text):
    assert talk(locale, **known).say(text).snapshot.locale != locale


def test_a_flow_without_the_language_uses_its_own_and_the_next_one_switches_back():
    held = talk("zh").say("讲个故事吧")
    assert (held.snapshot.flow, held.snapshot.locale, held.replies) == ("english", "zh", ["Scary?"])
    held.say("no")
    assert (held.snapshot.flow, held.snapshot.locale, held.replies) == ("f", "zh", ["几位？"])


def test_the_language_is_part_of_the_snapshot():
    held = talk("zh")
    stored = json.loads(json.dumps(held.snapshot.to_json()))
    again = Snapshot.from_json(stored, held.flows)
    assert again == held.snapshot
    assert Talk(held.flows, again).say("四位").replies == ["您的名字？"]
    with pytest.raises(SnapshotInvalid, match="locale"):
        Snapshot.from_json({**stored, "locale": "xx"}, held.flows)


def test_a_snapshot_without_a_language_continues_in_the_flows_default():
    held = talk()
    stored = held.snapshot.to_json()
    del stored["locale"]
    again = Talk(held.flows, Snapshot.from_json(stored, held.flows))
    assert again.say("purple").replies == ["Sorry, I did not understand that. How many?"]
    assert again.say("四位").replies == ["您的名字？"]
