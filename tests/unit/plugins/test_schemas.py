"""Violations name the field as a caller wrote it."""

from __future__ import annotations

import pytest
from clawdbot_plugins.core.schemas import LONGEST, MOST, Schema
from jsonschema import SchemaError

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


def told(value):
    return [(each.field, each.description) for each in SCHEMA.violations(value, "arguments")]


def test_what_fits_has_no_violations():
    assert told({"party_size": 4, "day": "2026-11-25", "guests": [{"name": "Ada"}], "note": None}) == []


@pytest.mark.parametrize(
    ("value", "field", "word"),
    [
        ({}, "arguments.party_size", "required"),
        ({"party_size": "four"}, "arguments.party_size", "integer"),
        ({"party_size": 0}, "arguments.party_size", "minimum"),
        ({"party_size": 4, "day": "tomorrow"}, "arguments.day", "date"),
        ({"party_size": 4, "guests": [{"name": "Ada"}, {}]}, "arguments.guests[1].name", "required"),
        ({"party_size": 4, "note": "too long"}, "arguments.note", "too long"),
        ({"party_size": 4, "partysize": 4}, "arguments.partysize", "Did you mean party_size?"),
        ([], "arguments", "object"),
    ],
)
def test_a_violation_has_its_path_and_says_why(value, field, word):
    ((path, description),) = told(value)
    assert path == field
    assert word in description


def test_a_format_that_only_further_packages_check_is_left_to_the_tools_own_types():
    """What fits must not depend on which packages happen to be installed: RFC 3339 would want 19:00:00Z."""
    assert told({"party_size": 4, "time": "19:00"}) == []


def test_a_huge_value_is_not_repeated_whole():
    ((_, description),) = told({"party_size": "x" * 1_000_000})
    assert len(description) <= LONGEST + 10


def test_of_very_many_violations_the_first_are_told():
    assert len(told({"party_size": 4, **{f"unknown_{number}": 1 for number in range(1000)}})) == MOST


def test_a_document_that_is_no_schema_is_refused():
    with pytest.raises(SchemaError):
        Schema({"type": "strnig"})
