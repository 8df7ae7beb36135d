"""The grammar of lists: items, additions, removals, and phrases that complete a list."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.language.language_registry import load_language_pack
from clawdbot_dialogue.core.language.normalization import normalize

from tests.support.processor_time import bounded


@pytest.mark.parametrize(
    ("language", "text", "items"),
    [
        ("en", "Ann, Bob and Carol", ["Ann", "Bob", "Carol"]),
        ("en", "Ann, Bob, and Carol please.", ["Ann", "Bob", "Carol"]),
        ("en", "Ada Lovelace & Alan Turing", ["Ada Lovelace", "Alan Turing"]),
        ("en", "also Dave and his brother", ["Dave", "his brother"]),
        ("en", "there are Ann; Bob\nCarol", ["Ann", "Bob", "Carol"]),
        ("en", "Andy and Sandy", ["Andy", "Sandy"]),
        ("en", "just Ann, that's all", ["Ann"]),
        ("en", ", and", []),
        ("zh", "李雷、韩梅梅和小王", ["李雷", "韩梅梅", "小王"]),
        ("zh", "还有小李和Ada Lovelace", ["小李", "Ada Lovelace"]),
        ("zh", "再加一个小李吧，谢谢", ["小李"]),
        ("zh", "有李雷，韩梅梅，就这些。", ["李雷", "韩梅梅"]),
        ("zh", "李雷跟韓梅梅", ["李雷", "韓梅梅"]),
    ],
)
def test_the_items_of_a_text(language, text, items):
    assert load_language_pack(language).list_grammar.split_items(text) == items


@pytest.mark.parametrize(
    ("language", "text", "adds", "removes", "complete"),
    [
        ("en", "also Dave", True, False, False),
        ("en", "yes, and Dave", True, False, False),
        ("en", "Dave too", True, False, False),
        ("en", "without Bob", False, True, False),
        ("en", "no, remove the cake", False, True, False),
        ("en", "Bob", False, False, False),
        ("en", "no thanks", False, False, False),
        ("en", "no, that's all", False, False, True),
        ("en", "nothing else, thanks", False, False, True),
        ("en", "nobody", False, False, True),
        ("en", "that's all I know of him", False, False, False),
        ("zh", "还有小李", True, False, False),
        ("zh", "小李也来", True, False, False),
        ("zh", "不要小王", False, True, False),
        ("zh", "把小王去掉", False, True, False),
        ("zh", "小王不来了", False, True, False),
        ("zh", "小王", False, False, False),
        ("zh", "就这些", False, False, True),
        ("zh", "没有了，谢谢", False, False, True),
        ("zh", "不用了", False, False, True),
    ],
)
def test_what_a_text_does_to_a_list(language, text, adds, removes, complete):
    lists, normalized = load_language_pack(language).list_grammar, normalize(text)
    method = (lists.is_addition(normalized), lists.is_removal(normalized), lists.is_complete(normalized))
    assert method == (adds, removes, complete)


@pytest.mark.parametrize(
    ("language", "items", "shown"),
    [
        ("en", ["Ann"], "Ann"),
        ("en", ["Ann", "Bob", "Carol"], "Ann, Bob and Carol"),
        ("en", [], ""),
        ("zh", ["李雷", "小王"], "李雷和小王"),
        ("zh", ["甲", "乙", "丙"], "甲、乙和丙"),
    ],
)
def test_a_list_is_formatted(language, items, shown):
    assert load_language_pack(language).list_grammar.format_list(items) == shown


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "fragment",
    [
        " ",
        ",",
        "a ",
        "and ",
        "no, ",
        "thanks ",
        "please, ",
        "a,",
        ". ",
        "without ",
        "不要",
        "谢谢",
        "就这些",
        "、",
        "小王",
        "make the ",
        "把",
        "改成",
    ],
)
def test_a_hostile_list_does_not_take_long(language, fragment):
    """Each takes milliseconds; a regular expression that backtracks would take seconds or much longer."""
    grammar = load_language_pack(language).list_grammar
    with bounded():
        for end in ("", "\0x"):
            text = "x" + fragment * (20_000 // len(fragment)) + end
            grammar.split_items(text)
            for method in (
                grammar.is_addition,
                grammar.is_removal,
                grammar.is_complete,
                grammar.item_changes,
            ):
                method(normalize(text))
