"""Violations name the field by its path in the request."""

from __future__ import annotations

import pytest
from clawdbot_plugins.core.schemas import MAX_DESCRIPTION_LENGTH, MAX_VIOLATIONS, InvalidSchema, Schema

SCHEMA = Schema(
    {
        "type": "object",
        "properties": {
            "party_size": {"type": "integer", "minimum": 1},
            "day": {"type": "string", "format": "date"},
            "time": {"type": "string", "format": "time"},
            "guests": {"type": "array", "items": {"$ref": "#/$defs/Guest"}},
            "note": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
        },
        "required": ["party_size"],
        "additionalProperties": False,
        "$defs": {
            "Guest": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        },
    }
)


def violations(value):
    return [(each.field, each.description) for each in SCHEMA.violations(value, "arguments")]


def test_a_valid_value_has_no_violations():
    assert violations({"party_size": 4, "day": "2026-11-25", "guests": [{"name": "Ada"}], "note": None}) == []


@pytest.mark.parametrize(
    ("value", "field", "word"),
    [
        ({}, "arguments.party_size", "required"),
        ({"party_size": "four"}, "arguments.party_size", "whole number"),
        ({"party_size": 0}, "arguments.party_size", "at least 1"),
        ({"party_size": 4, "day": "tomorrow"}, "arguments.day", "date"),
        ({"party_size": 4, "guests": [{"name": "Ada"}, {}]}, "arguments.guests[1].name", "required"),
        ({"party_size": 4, "note": "too long"}, "arguments.note", "at most"),
        ({"party_size": 4, "partysize": 4}, "arguments.partysize", "Did you mean party_size?"),
        ([], "arguments", "object"),
    ],
)
def test_a_violation_has_its_path_and_says_why(value, field, word):
    ((path, description),) = violations(value)
    assert path == field
    assert word in description


def test_a_format_that_needs_other_packages_is_left_to_the_tools_own_types():
    """Validity must not depend on which packages happen to be installed: RFC 3339 requires 19:00:00Z."""
    assert violations({"party_size": 4, "time": "19:00"}) == []


def test_a_huge_value_is_truncated():
    ((_, description),) = violations({"party_size": "x" * 1_000_000})
    assert len(description) <= MAX_DESCRIPTION_LENGTH + 10


def test_of_many_violations_only_the_first_are_reported():
    assert (
        len(violations({"party_size": 4, **{f"unknown_{number}": 1 for number in range(1000)}}))
        == MAX_VIOLATIONS
    )


@pytest.mark.parametrize(
    "document", [{"type": "strnig"}, {"pattern": "(?=a)a+"}, {"pattern": "("}, {"$ref": "#/$defs/nowhere"}]
)
def test_a_document_that_is_not_a_schema_with_linear_patterns_is_refused(document):
    with pytest.raises(InvalidSchema):
        Schema(document)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 1_000_000 + "!"),
        ({"pattern": "^(a|aa)+$"}, "a" * 1_000_000 + "!"),
        ({"propertyNames": {"pattern": "^(a*)*$"}}, {"a" * 100_000 + "!": 1}),
        ({"patternProperties": {"^(x+x+)+y$": False}, "required": ["z"]}, {"x" * 100_000: 1}),
        ({"uniqueItems": True}, [{"a": [number]} for number in range(200_000)] + [{"a": [0]}]),
        ({"type": "array", "items": {"anyOf": [{"const": each} for each in range(100)]}}, [5555] * 400_000),
        ({"items": {"anyOf": [{"const": each} for each in range(100)]}}, [5555] * 50),
        ({"items": {"type": "string"}}, [5555] * 400_000),
        ({"additionalProperties": False}, {f"a{number}": 1 for number in range(200_000)}),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_a_large_value_is_refused_in_bounded_time_whatever_the_schema(schema, value):
    assert 1 <= len(Schema(schema).violations(value, "arguments")) <= MAX_VIOLATIONS
