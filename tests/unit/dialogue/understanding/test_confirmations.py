"""What is a yes to a last question, and what only begins like one: a booking is made by it."""

from __future__ import annotations

import pytest

from tests.support.hearing import TABLES, heard

KNOWN = {"party_size": 4, "date": "2026-11-27", "time": "19:00"}


def hear(language, text, known=KNOWN, asked="confirmed"):
    return heard(TABLES[language], text, asked, known)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *[("en", text) for text in (
            "yes", "yes please", "please do", "good", "great, thanks", "I would", "it is", "fine by me",
            "no problem", "no, that's fine", "no, all good", "don't change anything", "no more changes",
            "yes, 100%", "yes at 7", "yes for 4", "right, go ahead",
        )],
        *[("zh", text) for text in (
            "好的", "可以", "可以，谢谢", "没问题", "对，没问题", "不用改了，确认", "不要紧", "需要",
            "对，就这样", "行，订吧", "好的，晚上七点", "对，不改了",
        )],
    ],
)  # fmt: skip
def test_a_yes(language, text):
    assert hear(language, text) == {"confirmed": True}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *[("en", text) for text in (
            "yes, cancel", "yes but later", "yes but 5", "yes 5", "okay how much is it?", "ok, let me think",
            "I would like to change something", "we would like a window table", "good question",
            "yes if we can sit outside", "don't forget the cake", "ok can I bring a dog?",
        )],
        *[("zh", text) for text in (
            "对，人数加一", "好，但是有个问题", "没问题，等我消息再订", "好的，但是我还没确定",
            "可以便宜点不", "可以的话留靠窗", "没问题的话就订", "需要两个儿童座椅",
        )],
    ],
)  # fmt: skip
def test_what_only_begins_like_a_yes(language, text):
    assert "confirmed" not in hear(language, text)


@pytest.mark.parametrize(
    ("language", "text"), [("en", "no"), ("en", "please no"), ("zh", "不要"), ("zh", "不是")]
)
def test_a_no(language, text):
    assert hear(language, text) == {"confirmed": False}


@pytest.mark.parametrize(
    ("language", "text", "changed"),
    [
        ("en", "change the time to 8", {"time": "20:00"}),
        ("en", "the time is wrong, it should be 8", {"time": "20:00"}),
        ("en", "change the date to 3", {"date": None}),
        ("en", "the name is wrong", {}),
        ("zh", "没问题，就是名字改成李四", {"name": "李四"}),
        ("zh", "名字写错了，是王晓明", {"name": "王晓明"}),
    ],
)
def test_a_change_is_of_what_it_names(language, text, changed):
    assert hear(language, text) == changed


def test_a_number_that_another_question_asked_for_changes_nothing_else():
    assert hear("en", "3", {"party_size": 4}, "date") == {}
    assert hear("en", "make it 5 people", {"party_size": 4}, "date") == {"party_size": 5}


def test_a_comma_between_numbers_of_words_is_none_of_thousands():
    assert hear("zh", "五百，三个人", {}, "") == {"party_size": 3}
    assert hear("zh", "我们打车去的，3个人", {}, "") == {"party_size": 3}
