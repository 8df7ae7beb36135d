"""A yes to a final confirmation, and messages that only start like one: a yes makes the booking."""

from __future__ import annotations

import pytest

from tests.support.slot_values import BOOKING_FLOWS, slot_values

KNOWN = {"party_size": 4, "date": "2026-11-27", "time": "19:00"}


def reply_values(language, text, known=KNOWN, asked="confirmed"):
    return slot_values(BOOKING_FLOWS[language], text, asked, known)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *[("en", text) for text in (
            "yes", "yes please", "please do", "good", "great, thanks", "I would", "it is", "fine by me",
            "don't change anything", "no more changes",
            "yes, 100%", "yes at 7", "yes for 4", "right, go ahead",
            "yes, for 4 people at 7 please", "ok, on Friday then",
        )],
        *[("zh", text) for text in (
            "好的", "可以", "可以，谢谢", "没问题", "对，没问题", "不用改了，确认", "需要",
            "对，就这样", "行，订吧", "好的，晚上七点", "对，不改了",
        )],
    ],
)  # fmt: skip
def test_a_yes(language, text):
    assert reply_values(language, text) == {"confirmed": True}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *[("en", text) for text in (
            "yes, cancel", "yes but later", "yes but 5", "yes 5", "okay how much is it?", "ok, let me think",
            "I would like to change something", "we would like a window table", "good question",
            "yes if we can sit outside", "don't forget the cake", "ok can I bring a dog?",
            "yes... actually cancel", "yes that's wrong", "sure not",
            "yes at 7 or at 8", "yes at 7, not there",
            "yes at 7 if it is cheap", "yes for the name", "yes but make it 6", "yes not 4",
            "no problem", "no, that's fine", "no, all good",
        )],
        *[("zh", text) for text in (
            "对，人数加一", "好，但是有个问题", "没问题，等我消息再订", "好的，但是我还没确定",
            "可以便宜点不", "可以的话留靠窗", "好吧，不订了", "好的，晚上七点就算了",
            "没问题的话就订", "需要两个儿童座椅", "不要紧",
        )],
    ],
)  # fmt: skip
def test_what_only_starts_like_a_yes(language, text):
    assert "confirmed" not in reply_values(language, text)


@pytest.mark.parametrize(
    ("language", "text"), [("en", "no"), ("en", "please no"), ("zh", "不要"), ("zh", "不是")]
)
def test_a_no(language, text):
    assert reply_values(language, text) == {"confirmed": False}


@pytest.mark.parametrize(
    ("language", "text", "changed"),
    [
        ("en", "change the time to 8", {"time": "20:00"}),
        ("en", "the time is wrong, it should be 8", {"time": "20:00"}),
        ("en", "change the date to 3", {"date": None}),
        ("en", "the name is wrong", {}),
        ("en", "yes but make it 6", {"party_size": 6}),
        ("en", "yes, but at 8", {"time": "20:00"}),
        ("zh", "没问题，就是名字改成李四", {"name": "李四"}),
        ("zh", "名字写错了，是王晓明", {"name": "王晓明"}),
    ],
)
def test_a_change_applies_to_the_named_slot(language, text, changed):
    assert reply_values(language, text) == changed


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_yes_with_a_new_value_confirms_only_if_nothing_else_is_said(language):
    said = {"en": ("yes, for 4 people", " if it is cheap"), "zh": ("好的，4位", "，便宜的话")}
    whole, more = said[language]
    assert reply_values(language, whole, {}) == {"party_size": 4, "confirmed": True}
    assert reply_values(language, whole + more, {}) == {"party_size": 4}


def test_a_number_for_another_question_changes_nothing():
    assert reply_values("en", "3", {"party_size": 4}, "date") == {}
    assert reply_values("en", "make it 5 people", {"party_size": 4}, "date") == {"party_size": 5}


def test_a_comma_after_a_numeral_is_not_a_thousands_separator():
    assert reply_values("zh", "五百，三个人", {}, "") == {"party_size": 3}
    assert reply_values("zh", "我们打车去的，3个人", {}, "") == {"party_size": 3}
