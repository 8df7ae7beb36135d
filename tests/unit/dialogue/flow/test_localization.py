"""A flow in several languages becomes one flow per language; they differ only in their texts."""

from __future__ import annotations

import json

import jsonschema
import pytest
from clawdbot_dialogue.core.flow.flow_registry import shipped_flows
from clawdbot_dialogue.core.flow.loader import load_flow, validate_flow
from clawdbot_dialogue.core.flow.parse.json_schema import flow_schema

from tests.support.flows import compiled

FLOW = compiled("""
locales: [en, zh]
description: {en: Ask, zh: 询问}
triggers: {en: [ask me], zh: [问我]}
slots:
  n: {type: integer, called: {en: count, zh: 数目}, hints: [x], ask: {en: How many?, zh: 多少？}}
  kind: {type: enum, ask: {en: Which?, zh: 哪种？}, values: {a: {en: [apple], zh: [苹果]}, b: [both]}}
states:
  one:
    collect: [n, kind]
    entry: {say: {en: In., zh: 进。}}
    no_match: {retries: 1, to: two, say: {en: Eh?, zh: 嗯？}}
    timeout: {after: 1m, to: two, say: {en: Late., zh: 晚了。}}
    next: [{if: slots.n > 3, say: {en: Many., zh: 很多。}, to: two}, {to: two}]
  two:
    states:
      inner: {say: {en: Within., zh: 里面。}, next: out}
      out: {generate: {instructions: Be brief.}, next: done}
      done: {end: true}
    next: three
  three: {say: "{n}: 4", end: true}
help: {en: Help., zh: 帮助。}
""")
ZH = FLOW.in_language("zh")


def plain_text(template):
    return "".join(map(str, template.parts))


def test_every_text_has_its_variant_in_each_language_wherever_it_is():
    for flow, expected in (
        (FLOW, ["Ask", "count", "How many?", "In.", "Eh?", "Late.", "Many.", "Within.", "Help."]),
        (ZH, ["询问", "数目", "多少？", "进。", "嗯？", "晚了。", "很多。", "里面。", "帮助。"]),
    ):
        one, inner = flow.states["one"], flow.states["two.inner"]
        assert [
            flow.description,
            flow.slots["n"].display_name,
            *map(plain_text, [flow.slots["n"].ask, one.entry[0].text, one.no_match.say, one.timeout.say]),
            *map(plain_text, [one.next[0].actions[0].text, inner.say, flow.help]),
        ] == expected


def test_localized_phrases_are_separate_and_plain_ones_are_shared():
    assert [flow.vocabulary.trigger_length("ask me") for flow in (FLOW, ZH)] == [6, 0]
    assert [flow.vocabulary.trigger_length("问我") for flow in (FLOW, ZH)] == [0, 2]
    assert [flow.slots["n"].hints for flow in (FLOW, ZH)] == [("x",), ("x",)]
    assert ZH.slots["kind"].values == {"a": ("苹果",), "b": ("both",)}


def test_guards_are_compiled_once_for_all_languages():
    assert FLOW.states["one"].next[0].guard is ZH.states["one"].next[0].guard


def test_instructions_and_texts_without_letters_need_no_variants():
    assert plain_text(FLOW.states["two.out"].generation.instructions) == "Be brief."
    assert FLOW.states["three"].say == ZH.states["three"].say


def test_a_tag_resolves_to_its_language_and_an_unknown_one_to_the_default():
    assert FLOW.locales == ("en", "zh")
    tags = ["", "en", "zh", "zh-CN", "zh_TW", "ZH-Hans-CN", "en-GB", "fr"]
    assert [FLOW.resolve_language(tag) for tag in tags] == ["en", "en", "zh", "zh", "zh", "zh", "en", "en"]
    assert FLOW.in_language("fr") is FLOW


def test_the_first_language_is_the_default():
    flow = load_flow(
        "flow: f\nversion: 1\nlocales: [zh, en]\nstates: {a: {say: {en: Hi, zh: 你好}, end: true}}", "f"
    )
    assert (flow.locale.name, plain_text(flow.states["a"].say), flow.resolve_language("")) == (
        "zh",
        "你好",
        "zh",
    )


def test_a_flow_in_one_language_may_use_a_mapping_too():
    flow = compiled("locale: zh\nstates: {a: {say: {zh: 你好}, end: true}}")
    assert (plain_text(flow.states["a"].say), flow.locales) == ("你好", ("zh",))


def test_an_error_in_all_languages_is_reported_once():
    states = "{a: {next: [{if: '1 +', to: b}, {to: b}]}, b: {end: true}}"
    source = f"flow: f\nversion: 1\nlocales: [en, zh]\nstates: {states}"
    assert [each.code for each in validate_flow(source, "f.yaml").diagnostics] == ["guard-syntax"]


@pytest.mark.parametrize(
    "text", [{"fr": "Salut"}, {"en": 4}, {"en": "x", "zh": ["x"]}, {}, {"english": "x"}, {"en": ""}]
)
def test_the_schema_refuses_what_the_compiler_refuses(text):
    flow = {"flow": "f", "version": 1, "locales": ["en", "zh"], "states": {"a": {"say": text, "end": True}}}
    assert not jsonschema.Draft202012Validator(json.loads(flow_schema())).is_valid(flow)
    assert validate_flow(json.dumps(flow), "f.yaml").flow is None


@pytest.mark.parametrize("file", dict(shipped_flows()))
def test_a_shipped_flow_is_in_english_and_chinese(file):
    assert load_flow(dict(shipped_flows())[file], file).locales == ("en", "zh")
