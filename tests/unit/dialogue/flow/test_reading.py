"""A flow's source is read as YAML 1.2 reads it: what looks like text is text."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.parse.yaml_parser import read


def value(text):
    findings = Findings("f.yaml")
    document = read(f"x: {text}", findings)
    assert document is not None, findings.sorted()
    return document.data["x"]


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "no", "Y", "12:30", "2026-12-01", "0x10", "0o7", "1_000", "<<"]
)
def test_what_other_versions_of_yaml_read_as_something_else_is_text(text):
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "means"),
    [("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("7", 7), ("-3", -3),
     ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ('"7"', "7"), ("'true'", "true"), ("[1, a]", [1, "a"])],
)  # fmt: skip
def test_the_core_schema_is_read(text, means):
    assert value(text) == means
    assert type(value(text)) is type(means)


def test_an_anchor_stands_for_its_value_wherever_it_is_used():
    document = read("a: &x {k: [1, 2]}\nb: *x\n", Findings("f.yaml"))
    assert document.data == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}
    assert document.at(("b", "k", 1)) == document.at(("a", "k", 1))


def test_places_are_kept_for_keys_values_and_characters_of_quoted_text():
    document = read('states:\n  a:\n    say: "hello"\n', Findings("f.yaml"))
    assert (document.key_at(("states", "a")).line, document.key_at(("states", "a")).column) == (2, 3)
    assert document.at(("states", "a", "say")).column == 10
    assert document.inside(("states", "a", "say"), 1).column == 12
    assert document.at(("states", "a", "missing")).line == 3


def test_what_is_cut_out_leaves_the_rest_with_its_places():
    document = read("a:\n  - x\n  - y\n  - z\n", Findings("f.yaml"))
    without = document.without({("a", 1)})
    assert without.data == {"a": ["x", "z"]}
    assert without.at(("a", 1)).line == 4


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert read("\ufeffx: 1", Findings("f.yaml")).data == {"x": 1}


@pytest.mark.parametrize("source", ["", "# nothing\n", "---\n"])
def test_an_empty_source_is_no_value(source):
    assert read(source, Findings("f.yaml")).data is None
