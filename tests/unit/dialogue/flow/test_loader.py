"""Whole flows: the shipped ones, the example of the design, the schema for editors, the registry."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema
import pytest
from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.flow_registry import (
    FlowNotFound,
    FlowRegistry,
    FlowVersionExists,
    shipped_flows,
)
from clawdbot_dialogue.core.flow.loader import check_references, load_flow, validate_flow
from clawdbot_dialogue.core.flow.parse.json_schema import SCHEMA_FILE, flow_schema
from clawdbot_dialogue.core.flow.parse.yaml_parser import parse_yaml

from tests.support.flows import Talk, compiled, library

EXAMPLE = """
# yaml-language-server: $schema=./flow.v1.schema.json
flow: book_table
version: 3
description: Reserve a table at the restaurant        # the only text a router sees
slots:
  party_size: {type: integer, min: 1, max: 20, ask: "For how many people?"}
  date:       {type: date, ask: "For which day?"}
  confirmed:  {type: boolean, ask: "Shall I book {party_size} seats on {date}?", fill: asked_only}
states:
  details:
    collect: [party_size, date]
    instructions: Ask for one missing thing at a time, in the caller's language.
    model: chat                        # a gateway alias
    tools: [find_tables]               # the model sees only these here
    no_match: {retries: 2, to: human}
    timeout: {after: 10m, to: parked}
    next:
      - {if: "slots.party_size > 8", to: human}
      - {to: confirm}
  confirm:
    collect: [confirmed]
    next:
      - {if: "slots.confirmed", to: book}
      - {to: details, clear: [date]}
  book:
    call: {tool: tables.reserve, args: {n: "${slots.party_size}", day: "${slots.date}"}, effect: once}
    next:
      - {if: "result.ok", to: done}
      - {on_error: any, say: "That did not work.", to: details}
  done:   {say: "Booked. Reference {result.ref}.", end: true}
  human:  {handoff: support}
  parked: {say: "Come back any time."}
interrupts: {allow: [faq, cancel], resume: reask}
"""
"""The flow with which the design explains flows."""
SHIPPED = dict(shipped_flows())


def test_four_flows_ship():
    assert list(SHIPPED) == ["book_table.yaml", "chat.yaml", "faq.yaml", "support.yaml"]


@pytest.mark.parametrize("file", SHIPPED)
def test_a_shipped_flow_has_neither_errors_nor_warnings(file):
    found = validate_flow(SHIPPED[file], file)
    assert found.flow is not None
    assert found.diagnostics == ()
    assert check_references(found.flow, {flow.name for flow in library().list()}) == ()


@pytest.mark.parametrize("source", [EXAMPLE, *SHIPPED.values()])
def test_the_schema_accepts_what_the_compiler_accepts(source):
    jsonschema.Draft202012Validator(json.loads(flow_schema())).validate(
        parse_yaml(source, DiagnosticCollector("f.yaml")).data
    )


@pytest.mark.parametrize(
    "mistake",
    [
        {"stales": {}},
        {"version": 0},
        {"flow": "Not A Name"},
        {"states": {}},
        {"states": {"a": {"end": False}}},
        {"slots": {"x": {"type": "color"}}},
        {"states": {"a": {"say": "x", "next": [{"if": "true"}]}}},
    ],
)
def test_the_schema_rejects_invalid_flows_as_the_compiler_does(mistake):
    flow = {"flow": "f", "version": 1, "states": {"a": {"end": True}}} | mistake
    assert not jsonschema.Draft202012Validator(json.loads(flow_schema())).is_valid(flow)
    assert validate_flow(json.dumps(flow), "f.yaml").flow is None


def test_the_published_schema_is_fresh():
    """Regenerate it with: .venv/bin/python tools/generate_flow_schema.py."""
    published = resources.files("clawdbot_dialogue").joinpath("flows", SCHEMA_FILE)
    assert published.read_text(encoding="utf-8") == flow_schema()


def test_every_key_of_the_schema_has_a_description():
    schema = json.loads(flow_schema())
    undescribed = [
        (name, key)
        for name, part in {"FlowSource": schema, **schema["$defs"]}.items()
        for key, about in part["properties"].items()
        if not {"description", "$ref"} & about.keys()
    ]
    assert undescribed == []


def test_shipped_flows_name_the_schema_beside_them():
    folder = resources.files("clawdbot_dialogue").joinpath("flows")
    for source in SHIPPED.values():
        named = source.splitlines()[0].rpartition("$schema=./")[2]
        assert folder.joinpath(named).is_file()


def test_the_designs_example_is_accepted_unchanged():
    """It only lacks a default after `result.ok`, which is a warning."""
    found = validate_flow(EXAMPLE, "book_table.yaml")
    assert [(each.severity, each.code) for each in found.diagnostics] == [("warning", "no-default")]


def test_the_designs_example_books_a_table():
    talk = Talk.about(load_flow(EXAMPLE, "book_table.yaml"))
    talk.say("four people, tomorrow")
    assert talk.replies == ["Shall I book 4 seats on Wednesday, 25 November 2026?"]
    talk.say("yes")
    assert (talk.call.tool, talk.call.arguments, talk.call.effect) == (
        "tables.reserve", {"n": 4, "day": "2026-11-25"}, "once",
    )  # fmt: skip
    talk.returns({"ok": True, "ref": "T-1"})
    assert talk.replies == ["Booked. Reference T-1."]
    assert talk.snapshot.status == "ended"


def test_a_flow_knows_its_source_and_file():
    flow = load_flow(EXAMPLE, "flows/book_table.yaml")
    assert (flow.source, flow.file, flow.version, flow.initial) == (
        EXAMPLE,
        "flows/book_table.yaml",
        3,
        "details",
    )


def versions(*numbers):
    found = FlowRegistry()
    for number in numbers:
        found.add(load_flow(f"flow: f\nversion: {number}\nstates: {{a: {{end: true}}}}", "f.yaml"))
    return found


def test_the_registry_returns_the_newest_version_by_default():
    found = versions(2, 10, 9)
    assert [found.get("f").version, found.get("f", 0).version, found.get("f", 2).version] == [10, 10, 2]
    assert [flow.version for flow in found.list()] == [10]


@pytest.mark.parametrize(("name", "version"), [("g", None), ("f", 3)])
def test_an_unknown_flow_or_version_is_not_found(name, version):
    with pytest.raises(FlowNotFound) as missing:
        versions(2).get(name, version)
    assert (missing.value.name, missing.value.version) == (name, version)


def test_a_version_cannot_be_replaced():
    found = versions(1)
    found.add(versions(1).get("f"))
    with pytest.raises(FlowVersionExists):
        found.add(compiled("states: {b: {end: true}}"))
    assert list(found.get("f").states) == ["a"]
