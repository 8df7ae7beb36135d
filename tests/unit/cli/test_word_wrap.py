"""Streamed text is wrapped between words, and nothing of it is lost."""

from __future__ import annotations

import pytest
from clawdbot_cli.chat.word_wrap import WordWrapper
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len


def wrapped(*chunks: str, width: int = 10) -> str:
    wrapper = WordWrapper()
    return "".join(wrapper.feed(chunk, width) for chunk in chunks) + wrapper.flush(width)


def test_a_word_that_does_not_fit_goes_to_the_next_line():
    assert wrapped("one two three four") == "one two \nthree four"


def test_the_chunks_do_not_matter():
    assert wrapped("on", "e tw", "o thr", "ee four") == wrapped("one two three four")


def test_a_word_is_shown_as_soon_as_something_follows_it():
    wrapper = WordWrapper()
    assert wrapper.feed("one tw", 10) == "one "
    assert wrapper.feed("o ", 10) == "two "


def test_a_word_longer_than_the_line_is_broken():
    assert wrapped("a" * 25) == "\n".join(["a" * 10, "a" * 10, "a" * 5])


def test_chinese_is_not_held_back_until_a_space():
    wrapper = WordWrapper()
    assert wrapper.feed("今天天气很好", 10) == "今天天气很\n好"


def test_a_line_break_in_the_text_starts_a_new_line():
    assert wrapped("one two\nthree four") == "one two\nthree four"


def test_indentation_is_kept():
    assert wrapped("def f():\n    pass", width=20) == "def f():\n    pass"


@pytest.mark.parametrize("width", [1, 2, 7, 80])
@given(text=st.text(alphabet="ab 漢é\n", max_size=200), cut=st.integers(0, 200))
def test_lines_fit_and_words_are_whole(text, cut, width):
    shown = wrapped(text[:cut], text[cut:], width=width)
    widest = max([2 if "漢" in text else 1, width])
    assert all(cell_len(line) <= widest for line in shown.split("\n"))
    assert "".join(shown.split()) == "".join(text.split())
