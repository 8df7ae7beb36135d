"""Whether a text has the form that its schema says, and what checking that may take."""

from __future__ import annotations

import json
import time

import pytest
from clawdbot_model_gateway.core.failures import FormMissed
from clawdbot_model_gateway.core.forms.form import Form, json_in
from clawdbot_servicekit.faults import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.forming import (
    GOOD,
    answer,
    bench,
    wanted,
    words,
)
from tests.support.generating import asks


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}},
        {"type": 7},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
    ],
)
async def test_a_schema_that_cannot_be_checked_is_the_callers_mistake(schema):
    place, provider = bench(words(GOOD))
    with pytest.raises(InvalidRequest) as refused:
        await answer(place, asks(response_format=wanted(schema)))
    assert refused.value.violations[0].field == "response_format.json_schema.schema"
    assert provider.requests == []


async def test_a_pattern_takes_no_more_time_than_its_text_is_long():
    hostile = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    place, _ = bench(words(json.dumps({"a": "a" * 50_000 + "!"})))
    begun = time.process_time()
    with pytest.raises(FormMissed):
        await answer(place, asks(response_format=wanted(hostile)))
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD, GOOD),
        (f"  {GOOD}\n", GOOD),
        (f"Here it is:\n```json\n{GOOD}\n```\nAnything else?", GOOD),
        (f"As {{asked}}: {GOOD} - there.", GOOD),
        ("[1, 2] then", "[1, 2]"),
        ("no JSON here", "no JSON here"),
        ("{" * 5000, "{" * 5000),
    ],
)
def test_json_is_found_among_words(text, found):
    assert json_in(text) == found


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ).filter(lambda value: isinstance(value, list | dict)),
    before=st.text(alphabet="abc .,:\n", max_size=20),
    after=st.text(alphabet="abc .,:\n", max_size=20),
)
def test_json_is_found_whatever_words_are_around_it(value, before, after):
    assert json.loads(json_in(f"{before}{json.dumps(value)}{after}")) == value


@given(text=st.text(max_size=200))
def test_any_text_is_judged(text):
    assert isinstance(Form(wanted()).fault(json_in(text)), str)
