"""Whether a text has the form that its schema says, and what checking that may take."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import pytest
from clawdbot_model_gateway.core.errors import FormMissed
from clawdbot_model_gateway.core.structured_output import validation
from clawdbot_model_gateway.core.structured_output.spec import Form, json_in
from clawdbot_model_gateway.core.structured_output.validation import JUDGE, Checking, Judges
from clawdbot_model_gateway.core.structured_output.validator_process import fault_of
from clawdbot_servicekit.errors import InvalidRequest
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


NOTHING = Form(wanted())


@given(text=st.text(max_size=200))
def test_any_text_is_judged(text):
    assert isinstance(fault_of(NOTHING.schema, json_in(text)), str)


def nested(depth):
    return '{"a":' * depth + "1" + "}" * depth


LINKED = {"type": "object", "properties": {"a": {"$ref": "#"}}}
MUTUAL = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/b"}},
    "$defs": {
        "b": {"type": "object", "properties": {"a": {"$ref": "#/$defs/c"}}},
        "c": {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}},
    },
}
DOUBLING = {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
WIDE = {
    "type": "object",
    "$ref": "#/$defs/d0",
    "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)},
        "d40": {"type": "object"},
    },
}
ENDLESS = {"$ref": "#"}


@pytest.mark.parametrize("schema", [LINKED, MUTUAL], ids=["itself", "one another"])
@pytest.mark.parametrize("depth", [3, 900, 100_000])
async def test_a_schema_may_refer_to_itself_and_an_answer_be_deep(schema, depth):
    checking = Checking(schema, Judges())
    await checking.begin()
    assert await checking.fault(nested(depth))
    assert not await checking.fault(nested(3).replace("1", "{}"))


@pytest.mark.parametrize(
    ("schema", "text"), [(DOUBLING, nested(60)), (WIDE, "{}")], ids=["answer's depth", "references"]
)
async def test_a_check_that_would_take_for_ever_is_ended_and_blocks_nobody(schema, text, monkeypatch):
    monkeypatch.setattr(validation, "PATIENCE", 1.0)
    checking = Checking(schema, Judges())
    await checking.begin()
    task = asyncio.create_task(checking.fault(text))
    begun, turns = time.monotonic(), 0
    while not task.done():
        await asyncio.wait([task], timeout=0.01)
        turns += 1
    assert "could not be checked" in await task
    assert turns > 10
    assert time.monotonic() - begun < 30


@pytest.mark.integration
def test_a_check_ends_by_itself_when_whoever_began_it_is_gone():
    task = json.dumps({"schema": DOUBLING, "text": nested(60)}).encode()
    command = [sys.executable, "-P", "-m", JUDGE]
    judge = subprocess.run(command, check=False, input=task, capture_output=True, timeout=40)
    assert judge.returncode < 0
    assert judge.stdout == b""


async def test_a_schema_that_leads_only_to_itself_ends():
    checking = Checking(ENDLESS, Judges())
    await checking.begin()
    assert await checking.fault("no JSON")
    assert not await checking.fault("{}")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "description": "x" * 1_000_000},
        {"type": "object", **{f"x{n}": n for n in range(100_000)}},
    ],
    ids=["1 MB", "100,000 keywords"],
)
async def test_a_schema_that_is_too_large_is_the_callers_mistake(schema):
    place, provider = bench(words(GOOD))
    with pytest.raises(InvalidRequest, match="at most 262144"):
        await answer(place, asks(response_format=wanted(schema)))
    assert provider.requests == []


async def test_an_answer_that_is_too_large_is_told_so():
    assert "at most" in await Checking({"type": "array"}, Judges()).fault(f"[{'1,' * 600_000}1]")


@pytest.mark.parametrize("schema", [LINKED, {"type": "object"}], ids=["elsewhere", "here"])
async def test_what_does_not_fit_is_told_alike_wherever_it_is_checked(schema):
    checking = Checking(schema, Judges())
    assert await checking.fault("[1]") == 'the value: [1] is not of type "object".'
    assert "not JSON" in await checking.fault("{a: 1}")


def test_fences_without_end_take_no_more_time_than_the_text_is_long():
    text = "```json\n" * 100_000
    begun = time.process_time()
    assert json_in(text) == text.strip()
    assert time.process_time() - begun < 5
