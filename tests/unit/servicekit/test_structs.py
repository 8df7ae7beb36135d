"""Structs are converted to plain values and back."""

from __future__ import annotations

import math
from types import MappingProxyType

import pytest
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import (
    MAX_DEPTH,
    canonical_json,
    exact_json,
    is_finite,
    plain_from_json,
    plain_from_request,
    to_json,
    to_plain,
    to_struct,
)
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=5)


@given(OBJECTS)
def test_values_are_read_back(values):
    assert to_plain(to_struct(values)) == values


@given(OBJECTS)
def test_a_struct_equals_the_librarys_own(values):
    theirs = Struct()
    theirs.update(values)
    assert MessageToDict(to_struct(values)) == MessageToDict(theirs)


def test_whole_numbers_are_ints_and_others_are_not():
    read = to_plain(to_struct({"a": 4.0, "b": 4.5, "c": 2.0**60, "d": -0.0}))
    assert {key: type(value) for key, value in read.items()} == {"a": int, "b": float, "c": float, "d": int}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_refused_with_its_path(number):
    sent = Struct()
    sent.update({"guests": [{"age": 3}, {"age": number}]})
    with pytest.raises(InvalidRequest) as caught:
        plain_from_request(sent, "arguments")
    (violation,) = caught.value.violations
    assert violation.field == "arguments.guests[1].age"
    assert not is_finite(sent)


def test_a_path_with_a_huge_key_is_truncated():
    sent = Struct()
    sent.update({"k" * 100_000: math.nan})
    with pytest.raises(InvalidRequest) as caught:
        plain_from_request(sent, "arguments")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, object(), b"bytes", {1: "key"}, {1, 2}])
def test_a_value_that_json_does_not_have_cannot_be_sent(value):
    with pytest.raises(ValueError, match=r"JSON|double"):
        to_struct({"inner": [value]})


def nested(levels: int) -> dict[str, object]:
    value: object = 1
    for level in range(levels):
        value = [value] if level % 2 else {"x": value}
    return {"x": value}


def test_a_value_of_the_maximum_depth_can_be_parsed():
    sent = to_struct(nested(MAX_DEPTH - 1))
    assert Struct.FromString(sent.SerializeToString()) == sent


def test_a_deeper_value_cannot_be_sent():
    endless: dict[str, object] = {}
    endless["self"] = endless
    for value in (nested(MAX_DEPTH), nested(200), endless):
        with pytest.raises(ValueError, match="levels"):
            to_struct(value)


@given(OBJECTS, st.randoms())
def test_the_order_of_keys_does_not_change_the_canonical_form(values, random):
    keys = list(values)
    random.shuffle(keys)
    assert canonical_json({key: values[key] for key in keys}) == canonical_json(values)


def test_different_values_differ_in_the_canonical_form():
    texts = {
        canonical_json(each)
        for each in ({"a": 1}, {"a": "1"}, {"a": None}, {"a": [1]}, {"b": 1}, {}, {"a": True})
    }
    assert len(texts) == 7


def test_json_has_integers_and_sorted_keys():
    assert to_json(to_struct({"c": 1e300, "b": 1.5, "a": 1})) == b'{"a":1,"b":1.5,"c":1e+300}'


# Whole numbers that a Struct rounds

BIG = 2512292042121000001


@pytest.mark.parametrize("number", [BIG, -BIG, 2**53 + 1, 2**70 + 1])
def test_json_text_holds_what_a_struct_rounds(number):
    values = MappingProxyType({"b": [{"order": number}], "a": (0.5, None)})
    text = exact_json(values, to_struct(values))
    assert plain_from_json(text, "arguments_json") == {"a": [0.5, None], "b": [{"order": number}]}


@pytest.mark.parametrize(
    "values", [{}, {"a": 4, "b": 4.0, "c": (1, "x"), "d": MappingProxyType({"e": None})}]
)
def test_what_a_struct_holds_exactly_needs_no_text(values):
    assert exact_json(values, to_struct(values)) == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "4", "null", '{"x": NaN}', '{"x": 1e999}', "[" * 100_000])
def test_text_that_is_no_object_of_json_is_refused_with_its_path(text):
    with pytest.raises(InvalidRequest) as raised:
        plain_from_json(text, "arguments_json")
    assert [each.field for each in raised.value.violations] == ["arguments_json"]
