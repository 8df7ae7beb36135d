"""A page token leads to the next page of its own list; anything else is refused."""

from __future__ import annotations

import pytest
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.pagination import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    number_cursor,
    page_bounds,
    page_size,
    page_token,
    text_cursor,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sets(st.text(min_size=1, max_size=8), max_size=30).map(sorted)


def pages(names, size):
    token = ""
    while True:
        found, token = page_bounds(names, "names", size, token)
        yield found
        if not token:
            return


@given(NAMES, st.integers(1, 10))
def test_all_pages_together_are_the_list(names, size):
    found = list(pages(names, size))
    assert [name for each in found for name in each] == names
    assert all(len(each) == size for each in found[:-1])


def test_a_token_stays_valid_when_the_list_changes():
    """The name in the token may be gone; nothing after it is repeated or left out."""
    _, token = page_bounds("abcd", "names", 2, "")
    assert [*page_bounds(["a", "bb", "c"], "names", 2, token)[0]] == ["bb", "c"]


@pytest.mark.parametrize(
    ("requested", "size"),
    [(0, DEFAULT_PAGE_SIZE), (1, 1), (MAX_PAGE_SIZE, MAX_PAGE_SIZE), (10_000, MAX_PAGE_SIZE)],
)
def test_a_page_has_a_default_and_a_maximum_size(requested, size):
    assert page_size(requested) == size


def test_a_negative_size_is_refused():
    with pytest.raises(InvalidRequest):
        page_size(-1)


@given(st.integers(0, 2**63 - 1))
def test_a_numeric_cursor_is_read_back(cursor):
    assert number_cursor("turns", page_token("turns", cursor)) == cursor


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_text_cursor_is_read_back(cursor):
    assert text_cursor("flows", page_token("flows", cursor)) == cursor


def test_the_first_page_has_no_token_and_the_last_page_gives_none():
    assert number_cursor("turns", "") is None
    assert text_cursor("flows", "") == ""
    assert page_token("turns", None) == ""


@given(st.text())
def test_any_other_text_is_refused(text):
    if not text:
        return
    with pytest.raises(InvalidRequest) as refused:
        number_cursor("turns", text)
    assert refused.value.violations[0].field == "page_token"


def test_a_token_of_another_list_is_refused():
    with pytest.raises(InvalidRequest):
        number_cursor("turns", page_token("sessions", 3))
