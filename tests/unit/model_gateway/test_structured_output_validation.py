"""Whether a text is valid under a schema, and what validating it may cost."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import time

import pytest
from clawdbot_model_gateway.core.errors import ResponseFormatMissed
from clawdbot_model_gateway.core.structured_output.spec import FormatSpec, extract_json
from clawdbot_model_gateway.core.structured_output.validation import (
    VALIDATOR_MODULE,
    SchemaValidator,
    validator_processes,
)
from clawdbot_model_gateway.core.structured_output.validator_process import validation_errors
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.limited_process import LimitedProcesses, Limits
from hypothesis import given
from hypothesis import strategies as st

from tests.support.generate_requests import asks
from tests.support.processor_time import bounded
from tests.support.structured_output import (
    GOOD,
    answer,
    bench_of,
    schema_format,
    text_reply,
)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}},
        {"type": 7},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
    ],
)
async def test_a_schema_that_cannot_be_checked_is_an_invalid_request(schema):
    bench, provider = bench_of(text_reply(GOOD))
    with pytest.raises(InvalidRequest) as refused:
        await answer(bench, asks(response_format=schema_format(schema)))
    assert refused.value.violations[0].field == "response_format.json_schema.schema"
    assert provider.requests == []


async def test_a_pattern_is_matched_in_linear_time():
    hostile = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    bench, _ = bench_of(text_reply(json.dumps({"a": "a" * 50_000 + "!"})))
    with bounded(), pytest.raises(ResponseFormatMissed):
        await answer(bench, asks(response_format=schema_format(hostile)))


@pytest.mark.parametrize(
    ("text", "extracted"),
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
def test_json_is_extracted_from_text(text, extracted):
    assert extract_json(text) == extracted


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ).filter(lambda value: isinstance(value, list | dict)),
    before=st.text(alphabet="abc .,:\n", max_size=20),
    after=st.text(alphabet="abc .,:\n", max_size=20),
)
def test_json_is_extracted_whatever_text_surrounds_it(value, before, after):
    assert json.loads(extract_json(f"{before}{json.dumps(value)}{after}")) == value


SPEC = FormatSpec(schema_format())


@given(text=st.text(max_size=200))
def test_any_text_can_be_validated(text):
    assert isinstance(validation_errors(SPEC.schema, extract_json(text)), str)


def nested(depth):
    return '{"a":' * depth + "1" + "}" * depth


RECURSIVE = {"type": "object", "properties": {"a": {"$ref": "#"}}}
MUTUALLY_RECURSIVE = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/b"}},
    "$defs": {
        "b": {"type": "object", "properties": {"a": {"$ref": "#/$defs/c"}}},
        "c": {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}},
    },
}
EXPONENTIAL_IN_DEPTH = {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
EXPONENTIAL_IN_REFERENCES = {
    "type": "object",
    "$ref": "#/$defs/d0",
    "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)},
        "d40": {"type": "object"},
    },
}
INFINITELY_RECURSIVE = {"$ref": "#"}


@pytest.mark.parametrize("schema", [RECURSIVE, MUTUALLY_RECURSIVE], ids=["itself", "each other"])
@pytest.mark.parametrize("depth", [3, 900, 100_000])
async def test_a_schema_may_be_recursive_and_a_reply_deep(schema, depth):
    validator = SchemaValidator(schema, validator_processes())
    await validator.check_schema()
    assert await validator.errors_in(nested(depth))
    assert not await validator.errors_in(nested(3).replace("1", "{}"))


@pytest.mark.parametrize(
    ("schema", "text"),
    [(EXPONENTIAL_IN_DEPTH, nested(60)), (EXPONENTIAL_IN_REFERENCES, "{}")],
    ids=["depth of the reply", "references"],
)
async def test_an_endless_validation_is_killed_and_blocks_nobody(schema, text):
    await SchemaValidator(schema, validator_processes()).check_schema()
    limits = Limits(seconds=1.0, memory=1024**3, processes=1)
    validator = SchemaValidator(schema, LimitedProcesses(VALIDATOR_MODULE, limits))
    task = asyncio.create_task(validator.errors_in(text))
    started_at, turns = time.monotonic(), 0
    while not task.done():
        await asyncio.wait([task], timeout=0.01)
        turns += 1
    assert "could not be validated" in await task
    assert turns > 10
    assert time.monotonic() - started_at < 30


def test_a_validator_process_ends_by_itself_when_the_gateway_has_died():
    task = json.dumps({"schema": EXPONENTIAL_IN_DEPTH, "text": nested(60)}).encode()
    command = [sys.executable, "-P", "-m", VALIDATOR_MODULE, "5", str(1024**3)]
    question = struct.pack(">I", len(task)) + task
    process = subprocess.run(command, check=False, input=question, capture_output=True, timeout=40)
    assert process.returncode < 0
    assert process.stdout == b""


async def test_an_infinitely_recursive_schema_ends():
    validator = SchemaValidator(INFINITELY_RECURSIVE, validator_processes())
    await validator.check_schema()
    assert await validator.errors_in("no JSON")
    assert not await validator.errors_in("{}")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "description": "x" * 1_000_000},
        {"type": "object", **{f"x{n}": n for n in range(100_000)}},
    ],
    ids=["1 MB", "100,000 keywords"],
)
async def test_a_schema_that_is_too_large_is_an_invalid_request(schema):
    bench, provider = bench_of(text_reply(GOOD))
    with pytest.raises(InvalidRequest, match="at most 262144"):
        await answer(bench, asks(response_format=schema_format(schema)))
    assert provider.requests == []


async def test_a_reply_that_is_too_large_is_an_error():
    assert "at most" in await SchemaValidator({"type": "array"}, validator_processes()).errors_in(
        f"[{'1,' * 600_000}1]"
    )


@pytest.mark.parametrize("schema", [RECURSIVE, {"type": "object"}], ids=["in a process", "inline"])
async def test_errors_are_the_same_wherever_a_text_is_validated(schema):
    validator = SchemaValidator(schema, validator_processes())
    assert await validator.errors_in("[1]") == "the value: must be an object."
    assert "not JSON" in await validator.errors_in("{a: 1}")


def test_endless_fences_take_linear_time():
    text = "```json\n" * 100_000
    with bounded():
        assert extract_json(text) == text.strip()
