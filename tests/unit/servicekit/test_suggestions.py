"""An unknown name is answered with the known one that was probably meant."""

from __future__ import annotations

import pytest
from clawdbot_servicekit.suggestions import did_you_mean, nearest, nearest_or_all

from tests.support.processor_time import bounded

NAMES = ["confirm", "confirmation", "cancel", "say"]


@pytest.mark.parametrize(
    ("name", "close"),
    [("confrim", "confirm"), ("cancle", "cancel"), ("confirmatoin", "confirmation"), ("xyzzy", ""), ("", "")],
)
def test_the_nearest_name_is_proposed_or_none(name, close):
    assert nearest(name, NAMES) == close


def test_the_sentences():
    assert did_you_mean("say") == " Did you mean say?"
    assert did_you_mean("") == ""
    assert nearest_or_all("syy", NAMES) == "; did you mean say?"
    assert nearest_or_all("xyzzy", ["b", "a"]) == "; available: a, b."


def test_among_many_names_those_of_the_same_length_are_compared_first():
    many = [f"a_state_with_a_long_name_{number:05}" for number in range(20_000)]
    assert nearest("a_state_with_a_name", [*many, "a_state_with_a_nmae"]) == "a_state_with_a_nmae"


def test_huge_names_and_lists_take_little_time():
    many = [f"{number:0180}" for number in range(20_000)]
    with bounded():
        assert nearest("x" * 1_000_000, ["y" * 1_000_000]) == ""
        nearest("7" * 180, many)
