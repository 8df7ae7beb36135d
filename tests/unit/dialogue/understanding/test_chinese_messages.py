"""Commands from Chinese messages in context: slots filled and corrected, set phrases, free text."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.rule_commands import generate_commands
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.flows import NOW, compiled
from tests.support.processor_time import bounded
from tests.support.properties import examples

FLOW = compiled("""
locale: zh
slots:
  party_size: {type: integer, called: 人数, hints: [位, 个人, 人]}
  date: {type: date, called: 日期}
  time: {type: time, called: 时间, min: "11:00", max: "22:00"}
  seat: {type: enum, values: {inside: [室内, 里面], terrace: [露台, 外面]}}
  name: {type: string, called: 姓名}
  email: {type: email}
  phone: {type: phone, region: CN}
  note: {type: string, min_length: 3}
  budget: {type: number, called: 预算, hints: [元, 块]}
  confirmed: {type: boolean, fill: asked_only}
states: {a: {end: true}}
""")
OTHER = compiled("locale: zh\ntriggers: [营业时间, 几点开门]\nstates: {a: {end: true}}", "hours")
FRAGMENTS = [
    "好", "好的", "嗯", "那就", "谢谢", "的", "吧", "我", "我想", "取消", "算了", "不", "不对，", "改成",
    "换个", "一", "一十", "万", "两三", "七点", "七点半", "差五分", "明晚", "下周", "周", "三天",
    "个半小时", "元", "¥1", "1,", "1.", "，", "。", "、", "？", "以", "用a", "的名义", "我叫", "我叫李",
    "姓", "留名", "转", "找", "跟", "怎么", "你好", "再见", "不是", "还是", "1月", "二〇", "x@",
    "邮箱a@b.c", "号", "晚上", "請", "帮我", "太好了", "可以", "时间不对", " ", "\n", "1 ",
    "七八点", "1或", "两大一小", "我和", "我跟老婆", "多一位", "少两个人", "晚半小时",
    "提前", "不行", "除了", "要不", "五一", "平安夜", "两周后的周", "2大",
]  # fmt: skip
"""Fragments for awkward messages, and for long ones that might make a pattern backtrack."""


def commands_for(text, *, asked="", slots=None, others=()):
    context = MessageContext(FLOW, slots or {}, asked, True, others)
    return [(each.name, each.target, each.value) for each in generate_commands(context, text, NOW)]


def set_slots(**slots):
    return sorted(("set_slot", name, value) for name, value in slots.items())


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("明晚七点四位", {"date": "2026-11-25", "time": "19:00", "party_size": 4}),
        ("四位，明晚七点", {"date": "2026-11-25", "time": "19:00", "party_size": 4}),
        ("下周五七点四位", {"date": "2026-12-04", "time": "19:00", "party_size": 4}),
        ("我想订下周五晚上七点半的位子，两个人", {"date": "2026-12-04", "time": "19:30", "party_size": 2}),
        ("後天中午十二點半，三位", {"date": "2026-11-26", "time": "12:30", "party_size": 3}),
        ("１２月１日１９：３０，６人", {"date": "2026-12-01", "time": "19:30", "party_size": 6}),
        (
            "今晚八点，我们俩，坐外面",
            {"date": "2026-11-24", "time": "20:00", "party_size": 2, "seat": "terrace"},
        ),
        ("以李雷的名义，明天", {"name": "李雷", "date": "2026-11-25"}),
        ("邮箱是ada@example.com，谢谢", {"email": "ada@example.com"}),
        ("电话13800138000，三位", {"phone": "13800138000", "party_size": 3}),
        ("预算五百元，两个人", {"budget": 500, "party_size": 2}),
        ("四大名著", {}),
        ("一些建议", {}),
    ],
)
def test_slots_are_filled_from_one_sentence(text, slots):
    assert sorted(commands_for(text)) == (set_slots(**slots) if slots else [("none", "", None)])


@pytest.mark.parametrize(
    ("asked", "text", "value"),
    [
        ("party_size", "四", 4),
        ("party_size", "一共十二个", 12),
        ("party_size", "就我一个人", 1),
        ("budget", "九十九块五", 99.5),
        ("time", "七", "19:00"),
        ("time", "七点左右吧", "19:00"),
        ("date", "三号", "2026-12-03"),
        ("seat", "室内吧", "inside"),
        ("confirmed", "好的", True),
        ("confirmed", "不用了", False),
        ("name", "我叫李雷。", "李雷"),
        ("name", "陳小明", "陳小明"),
        ("note", "有一位客人七点到", "有一位客人七点到"),
        ("note", "不是很好，汤是凉的", "不是很好，汤是凉的"),
    ],
)
def test_an_answer_goes_to_what_was_asked_for(asked, text, value):
    assert ("set_slot", asked, value) in commands_for(text, asked=asked)


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("不对，改成六位", [("correct_slot", "party_size", 6)]),
        ("不是四位是六位", [("correct_slot", "party_size", 6)]),
        ("换到周六", [("correct_slot", "date", "2026-11-28")]),
        ("还是八点吧", [("correct_slot", "time", "20:00")]),
        ("换个日期", [("correct_slot", "date", None)]),
        ("改一下時間", [("correct_slot", "time", None)]),
        ("人数不对", [("correct_slot", "party_size", None)]),
        ("四位", [("none", "", None)]),
    ],
)
def test_a_new_value_corrects_a_filled_slot(text, commands):
    assert commands_for(text, slots={"party_size": 4, "date": "2026-11-25", "time": "19:00"}) == commands


def test_a_correction_in_reply_to_a_confirmation_is_not_a_no():
    known = {"party_size": 4, "date": "2026-11-25"}
    assert commands_for("不是四位是六位", asked="confirmed", slots=known) == [
        ("correct_slot", "party_size", 6)
    ]
    for text in ("好的，留名李雷", "对，留名李雷"):
        assert commands_for(text, asked="confirmed", slots=known) == [
            ("set_slot", "name", "李雷"), ("set_slot", "confirmed", True),
        ]  # fmt: skip


def test_two_values_for_one_slot_are_clarified():
    assert commands_for("四位还是五位") == [("clarify", "party_size", [4, 5])]
    assert commands_for("周五或者周六") == [("clarify", "date", ["2026-11-27", "2026-11-28"])]


def test_yes_is_not_an_answer_to_an_open_question():
    assert commands_for("好的", asked="note") == [("affirm", "", None)]


@pytest.mark.parametrize(
    ("text", "name"),
    [("取消", "cancel_flow"), ("帮助", "help"), ("转人工", "handoff"), ("你好", "chitchat")],
)
def test_set_phrases_are_commands_whatever_was_asked_for(text, name):
    for asked in ("", "party_size", "confirmed", "seat", "email"):
        assert commands_for(text, asked=asked)[0][0] == name


def test_a_trigger_starts_another_flow_and_the_values_are_kept():
    assert commands_for("四位。你们几点开门？", others=(OTHER,)) == [
        ("set_slot", "party_size", 4), ("start_flow", "hours", None),
    ]  # fmt: skip


@settings(max_examples=examples(300))
@given(
    st.text(max_size=80) | st.lists(st.sampled_from(FRAGMENTS), max_size=15).map("".join),
    st.sampled_from(["", *FLOW.slots]),
)
def test_any_message_gives_commands_deterministically(text, asked):
    commands = commands_for(text, asked=asked, slots={"date": "2026-11-25"}, others=(OTHER,))
    assert commands
    assert commands == commands_for(text, asked=asked, slots={"date": "2026-11-25"}, others=(OTHER,))


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_hostile_message_does_not_take_long(fragment):
    """Each takes milliseconds; a regular expression that backtracks would take seconds or much longer."""
    with bounded():
        for start in ("", "我叫", "不对，", "算了"):
            for asked in ("", "name", "time"):
                known = {} if asked else {"party_size": 4, "time": "19:00"}
                commands_for(start + fragment * (2_000 // len(fragment)) + "\0x", asked=asked, slots=known)
