"""Each kind of mistake in a flow is reported with its position, a code, a message and a hint."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from clawdbot_dialogue.core.flow import diagnostic_codes
from clawdbot_dialogue.core.flow.diagnostic_codes import CODES
from clawdbot_dialogue.core.flow.diagnostics import MAX_PER_SEVERITY, DiagnosticCollector, Mark
from clawdbot_dialogue.core.flow.loader import InvalidFlowError, check_references, load_flow, validate_flow

HEAD = "flow: f\nversion: 1\n"
PARTS = HEAD + "slots:\n  size: {type: integer, ask: How many?}\n  day: {type: date, ask: When?}\nstates:\n"
END = "  done: {say: Bye., end: true}\n"


@dataclass(frozen=True)
class Mistake:
    """A source in which ⟦ marks the position of the error."""

    code: str
    source: str
    says: str
    hint: str = ""

    @property
    def clean(self) -> str:
        return self.source.replace("⟦", "")

    @property
    def position(self) -> tuple[int, int]:
        before = self.source.split("⟦")[0]
        return before.count("\n") + 1, len(before) - before.rfind("\n")


def state(text: str) -> str:
    return f"{PARTS}  a: {text}\n{END}"


def slot(text: str) -> str:
    return f"{HEAD}slots:\n  x: {text}\nstates:\n  a: {{collect: [x], next: done}}\n{END}"


def mistakes(severity: str) -> list[Mistake]:
    cases = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text(encoding="utf-8"))
    wrap = {"state": state, "slot": slot, "source": str}
    return [
        Mistake(each["code"], wrap[form](each[form]), each["says"], each.get("hint", ""))
        for each in cases[severity]
        for form in wrap
        if form in each
    ]


ERRORS = [
    *mistakes("errors"),
    Mistake("too-large", "⟦" + "a: b\n" * 900_000, "at most 4,194,304 are allowed", "Split it"),
    Mistake(
        "guard-syntax", state("{call: {tool: t, args: {n: '${⟦" + "1+" * 600 + "1}'}}}"), "at most 1,000 are"
    ),
]
WARNINGS = mistakes("warnings")


def names(found):
    return [f"{each.code}-{at}" for at, each in enumerate(found)]


def check(mistake: Mistake, severity: str) -> None:
    found = validate_flow(mistake.clean, "f.yaml").diagnostics
    shown = "\n".join(each.render(mistake.clean) for each in found)
    here = [
        each for each in found if each.code == mistake.code and (each.line, each.column) == mistake.position
    ]
    assert here, f"expected {mistake.code} at {mistake.position}, found:\n{shown}"
    assert here[0].severity == severity
    assert mistake.says in here[0].message
    assert mistake.hint in here[0].hint


@pytest.mark.parametrize("mistake", ERRORS, ids=names(ERRORS))
def test_an_error_is_reported_where_it_is(mistake):
    check(mistake, "error")
    with pytest.raises(InvalidFlowError):
        load_flow(mistake.clean, "f.yaml")


@pytest.mark.parametrize("mistake", WARNINGS, ids=names(WARNINGS))
def test_a_warning_is_reported_and_does_not_keep_the_flow_from_loading(mistake):
    check(mistake, "warning")
    assert load_flow(mistake.clean, "f.yaml").warnings


def test_a_byte_that_is_not_utf8_is_reported_with_its_position():
    found = validate_flow(b"flow: f\nversion: 1\ndescription: caf\xe9\n", "f.yaml").diagnostics
    assert [(each.code, each.line, each.column) for each in found] == [("not-utf8", 3, 17)]
    assert "0xe9" in found[0].message


def test_bytes_are_decoded_as_utf8():
    source = HEAD + "description: café\nstates: {a: {end: true}}"
    assert load_flow(source.encode(), "f.yaml").description == "café"


REFERENCES = HEAD + (
    "slots: {x: {type: date, ask: q}}\n"
    "states:\n"
    "  a: {collect: [x], model: smal, tools: [finder], next: b}\n"
    "  b: {generate: {instructions: i, model: smal, tools: [clock.nwo]}, wait: true, next: c}\n"
    "  c: {call: {tool: tables.resreve}, next: [{on_error: any, to: d}, {to: d}]}\n"
    "  d: {end: true}\n"
    "interrupts: {allow: [cancel, fak]}\n"
)


def test_unknown_flows_tools_and_models_are_warnings():
    flow = load_flow(REFERENCES, "f.yaml")
    found = check_references(flow, {"faq"}, {"clock.now", "tables.reserve", "finder"}, {"small"})
    assert {(each.code, each.line, each.column, each.hint) for each in found} == {
        ("unknown-model", 5, 28, 'Did you mean "small"?'),
        ("unknown-model", 6, 42, 'Did you mean "small"?'),
        ("unknown-tool", 6, 56, 'Did you mean "clock.now"?'),
        ("unknown-tool", 7, 20, 'Did you mean "tables.reserve"?'),
        ("unknown-flow", 9, 30, 'Did you mean "faq"?'),
    }
    assert {each.severity for each in found} == {"warning"}


def test_tools_and_models_are_not_checked_if_the_known_ones_are_not_given():
    flow = load_flow(REFERENCES, "f.yaml")
    assert {each.code for each in check_references(flow, {"fak"})} == set()


def test_a_hundred_errors_are_reported_and_that_there_are_more():
    source = HEAD + "".join(f"key{number}: 1\n" for number in range(150))
    found = validate_flow(source, "f.yaml").diagnostics
    assert len(found) == MAX_PER_SEVERITY + 1
    assert [each.code for each in found].count("too-many") == 1


def test_every_code_has_a_case_here():
    elsewhere = {"not-utf8", "unknown-tool", "unknown-model", "too-many", "tool-argument"}
    assert {each.code for each in (*ERRORS, *WARNINGS)} | elsewhere == set(CODES)


def test_every_code_is_reported_somewhere():
    folder = Path(diagnostic_codes.__file__).parent
    literals = {
        node.value
        for path in folder.rglob("*.py")
        if path.name != "diagnostic_codes.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CODES) - literals == set()


def test_an_undeclared_code_cannot_be_reported():
    with pytest.raises(KeyError):
        DiagnosticCollector("f.yaml").error("made-up", "x", Mark(1, 1))


def test_mistakes_of_several_kinds_are_found_in_one_run():
    source = state("{collect: [seize], next: [{if: 'slots.size >', to: dine}], sya: x}")
    assert {each.code for each in validate_flow(source, "f.yaml").diagnostics} == {
        "undeclared-slot", "guard-syntax", "unknown-state", "unknown-key",
    }  # fmt: skip


def test_a_mistake_in_a_slot_is_reported_once_however_often_the_slot_is_used():
    source = HEAD + (
        "slots: {x: {typ: date, ask: q}}\n"
        "states:\n  a: {collect: [x], next: [{if: 'slots.x == \"\"', to: b}, {to: b}]}\n"
        "  b: {say: '{x}', end: true}\n"
    )
    assert {each.line for each in validate_flow(source, "f.yaml").diagnostics} == {3}


def test_a_diagnostic_shows_its_line_with_a_caret_under_the_error():
    source = state("{say: x, next: dine}")
    (found,) = [
        each for each in validate_flow(source, "flows/f.yaml").diagnostics if each.code == "unknown-state"
    ]
    assert found.render(source).splitlines() == [
        'flows/f.yaml:7:21: error: There is no state "dine". [unknown-state]',
        "    7 |   a: {say: x, next: dine}",
        "      |                     ^",
        '       hint: Did you mean "done"?',
    ]


def test_the_caret_is_aligned_under_wide_characters_tabs_and_long_lines():
    for before in ("请问几位？", "\t", "x" * 500):
        source = f'{HEAD}states: {{a: {{say: "{before}", next: dine}}, done: {{end: true}}}}'
        (found,) = [each for each in validate_flow(source, "f").diagnostics if each.code == "unknown-state"]
        _, line, caret, _ = found.render(source).splitlines()
        width = sum(2 if "⺀" <= each <= "￠" else 1 for each in line[: line.index("dine")])
        assert len(caret) - 1 == width
        assert len(line) < 200
