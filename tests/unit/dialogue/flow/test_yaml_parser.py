"""A flow's source is parsed as YAML 1.2: what looks like text is text."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.parse.yaml_parser import parse_yaml


def value(text):
    findings = DiagnosticCollector("f.yaml")
    document = parse_yaml(f"x: {text}", findings)
    assert document is not None, findings.sorted()
    return document.data["x"]


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "no", "Y", "12:30", "2026-12-01", "0x10", "0o7", "1_000", "<<"]
)
def test_what_other_yaml_versions_parse_as_other_types_is_text(text):
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("7", 7), ("-3", -3),
     ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ('"7"', "7"), ("'true'", "true"), ("[1, a]", [1, "a"])],
)  # fmt: skip
def test_the_core_schema_is_supported(text, expected):
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_an_alias_expands_to_the_value_of_its_anchor():
    document = parse_yaml("a: &x {k: [1, 2]}\nb: *x\n", DiagnosticCollector("f.yaml"))
    assert document.data == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}
    assert document.at(("b", "k", 1)) == document.at(("a", "k", 1))


def test_positions_are_kept_for_keys_values_and_characters_of_quoted_text():
    document = parse_yaml('states:\n  a:\n    say: "hello"\n', DiagnosticCollector("f.yaml"))
    assert (document.key_at(("states", "a")).line, document.key_at(("states", "a")).column) == (2, 3)
    assert document.at(("states", "a", "say")).column == 10
    assert document.at_offset(("states", "a", "say"), 1).column == 12
    assert document.at(("states", "a", "missing")).line == 3


def test_removing_a_value_keeps_the_positions_of_the_others():
    document = parse_yaml("a:\n  - x\n  - y\n  - z\n", DiagnosticCollector("f.yaml"))
    without = document.without({("a", 1)})
    assert without.data == {"a": ["x", "z"]}
    assert without.at(("a", 1)).line == 4


def test_a_byte_order_mark_is_ignored():
    assert parse_yaml("\ufeffx: 1", DiagnosticCollector("f.yaml")).data == {"x": 1}


@pytest.mark.parametrize("source", ["", "# nothing\n", "---\n"])
def test_an_empty_source_has_no_value(source):
    assert parse_yaml(source, DiagnosticCollector("f.yaml")).data is None
