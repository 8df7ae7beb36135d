"""Pages cover a list once, and survive its changes."""

from __future__ import annotations

import pytest
from clawdbot_plugins.core.paging import LARGEST, USUAL, page
from clawdbot_servicekit.faults import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sets(st.text(min_size=1, max_size=8), max_size=30).map(sorted)


def pages(names, size):
    items, token = {name: name for name in names}, ""
    while True:
        found, token = page(items, size, token)
        yield found
        if not token:
            return


@given(NAMES, st.integers(1, 10))
def test_the_pages_together_are_the_list(names, size):
    found = list(pages(names, size))
    assert [name for each in found for name in each] == names
    assert all(len(each) == size for each in found[:-1])


def test_the_usual_page_and_the_largest():
    items = dict.fromkeys(f"{number:04}" for number in range(1000))
    assert len(page(items, 0, "")[0]) == USUAL
    assert len(page(items, 10**6, "")[0]) == LARGEST


def test_a_token_holds_when_the_list_changes():
    """What the token names may be gone; nothing after it is told twice or left out."""
    _, token = page(dict.fromkeys("abcd"), 2, "")
    assert [*page({"a": 1, "bb": 2, "c": 3}, 2, token)[0]] == [2, 3]


@pytest.mark.parametrize("token", ["nonsense", "ümlaut", "YWZ0ZXI", "Zm9vOmJhcg==", "A" * 10_000])
def test_a_token_that_is_none_of_ours_is_refused(token):
    with pytest.raises(InvalidRequest, match="page_token"):
        page({"a": 1}, 1, token)


def test_a_negative_size_is_refused():
    with pytest.raises(InvalidRequest, match="page_size"):
        page({}, -1, "")
