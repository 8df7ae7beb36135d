"""A page's token leads to the next page of its own list, and nothing else is a token."""

from __future__ import annotations

import pytest
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.paging import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    number_place,
    page_bounds,
    page_size,
    page_token,
    text_place,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sets(st.text(min_size=1, max_size=8), max_size=30).map(sorted)


def pages(names, size):
    following = ""
    while True:
        found, following = page_bounds(names, "names", size, following)
        yield found
        if not following:
            return


@given(NAMES, st.integers(1, 10))
def test_the_pages_together_are_the_list(names, size):
    found = list(pages(names, size))
    assert [name for each in found for name in each] == names
    assert all(len(each) == size for each in found[:-1])


def test_a_token_holds_when_the_list_changes():
    """What the token names may be gone; nothing after it is told twice or left out."""
    _, following = page_bounds("abcd", "names", 2, "")
    assert [*page_bounds(["a", "bb", "c"], "names", 2, following)[0]] == ["bb", "c"]


@pytest.mark.parametrize(
    ("given_size", "size"),
    [(0, DEFAULT_PAGE_SIZE), (1, 1), (MAX_PAGE_SIZE, MAX_PAGE_SIZE), (10_000, MAX_PAGE_SIZE)],
)
def test_a_page_has_a_usual_and_a_largest_size(given_size, size):
    assert page_size(given_size) == size


def test_a_negative_size_is_refused():
    with pytest.raises(InvalidRequest):
        page_size(-1)


@given(st.integers(0, 2**63 - 1))
def test_a_token_of_a_number_is_read_back(place):
    assert number_place("turns", page_token("turns", place)) == place


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_token_of_a_name_is_read_back(place):
    assert text_place("flows", page_token("flows", place)) == place


def test_the_first_page_has_no_token_and_neither_has_the_end():
    assert number_place("turns", "") is None
    assert text_place("flows", "") == ""
    assert page_token("turns", None) == ""


@given(st.text())
def test_whatever_else_is_given_is_refused(text):
    if not text:
        return
    with pytest.raises(InvalidRequest) as refused:
        number_place("turns", text)
    assert refused.value.violations[0].field == "page_token"


def test_a_token_of_another_list_is_refused():
    with pytest.raises(InvalidRequest):
        number_place("turns", page_token("sessions", 3))
