"""`clawdbot flow test`: which conversations it holds with which flows, what it says, and its exit codes."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

FLOW = """flow: f
version: 1
slots:
  n: {type: integer, ask: How many?}
states:
  a:
    collect: [n]
    timeout: {after: 1h, to: late}
    next:
      - {if: slots.n > 5, to: big}
      - {to: done}
  big: {say: Many., next: done}
  done: {say: Bye., end: true}
  late: {say: Late.}
"""
GOOD = """flow: f
now: 2026-11-24T10:00
conversations:
  - name: few
    steps:
      - say: "3"
        expect: {status: ended, reply: Bye.}
  - name: many
    steps:
      - say: "9"
        expect: {path: [big, done]}
"""
BAD = GOOD.replace("[big, done]", "[done]")


@pytest.fixture
def held(desk):
    desk.write(f=FLOW, f_test=GOOD)
    return desk


def test_all_that_go_as_written_are_exit_code_0(held):
    ran = held.run("flow", "test", "f.test.yaml")
    assert ran.code == 0
    assert ran.out.splitlines()[:3] == ["f.test.yaml", "  ok      few", "  ok      many"]
    assert ran.out.splitlines()[3].startswith("2 passed (")


def test_one_that_goes_another_way_is_told_with_its_line_and_exit_code_1(held):
    held.write(f_test=BAD)
    ran = held.run("flow", "test", ".")
    assert ran.code == 1
    assert "  FAILED  many\n    f.test.yaml:10: expected the path done, got big, done\n" in ran.out
    assert "1 passed, 1 failed (" in ran.out


def test_those_with_a_text_in_their_name_are_held_alone(held):
    held.write(f_test=BAD)
    ran = held.run("flow", "test", "-k", "few", ".")
    assert ran.code == 0
    assert "many" not in ran.out


def test_the_json_form_holds_every_outcome_and_what_is_not_covered(held):
    held.write(f_test=BAD)
    ran = held.run("flow", "test", "--format", "json", "--coverage", ".")
    found = json.loads(ran.out)
    assert found["format"] == 1
    ((file, fault, (few, many)),) = [tuple(each.values()) for each in found["files"]]
    assert (file, fault, few["passed"], few["line"]) == ("f.test.yaml", "", True, 4)
    assert many["failures"] == [{"line": 10, "message": "expected the path done, got big, done"}]
    (covered,) = found["coverage"]
    assert covered["states"] == {"total": 4, "percent": 75.0, "missing": [{"name": "late", "line": 14}]}
    assert covered["transitions"]["missing"] == [{"name": "a → late (timeout)", "line": 8}]
    assert found["summary"] | {"seconds": 0} == {"passed": 1, "failed": 1, "unusable": 0, "seconds": 0}


def test_coverage_names_what_nothing_went_through(held):
    ran = held.run("flow", "test", "--coverage", "-k", "few", ".")
    assert "coverage of f: 2 of 4 states (50 %), 1 of 4 transitions (25 %)" in ran.out
    assert "\n  f.yaml:12: never entered: big\n" in ran.out
    assert "\n  f.yaml:10: never taken: a → big (if: slots.n > 5)\n" in ran.out
    assert "\n  f.yaml:12: never taken: big → done\n" in ran.out


@pytest.mark.parametrize(("least", "code"), [("75", 0), ("75.1", 1), ("0", 0)])
def test_too_little_coverage_is_exit_code_1(held, least, code):
    assert held.run("flow", "test", "--min-coverage", least, ".").code == code


def test_junit_counts_and_names_what_other_programs_look_for(held):
    held.write(
        f_test=BAD.replace("name: many", 'name: "many\\x01 <&>"'), g_test=GOOD.replace("flow: f", "flow: g")
    )
    assert held.run("flow", "test", "--junit", "out.xml", ".").code == 2
    root = ET.parse(held.folder / "out.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == (
        *("testsuites", "3", "1", "1"),
    )
    first, second = root
    assert (first.get("name"), first.get("tests"), first.get("failures")) == ("f.test.yaml", "2", "1")
    passed, failed = first
    assert (passed.get("name"), passed.get("line"), len(passed)) == ("few", "4", 0)
    assert float(passed.get("time")) >= 0
    assert failed.get("name") == "many� <&>"
    assert failed[0].get("message") == "expected the path done, got big, done"
    assert failed[0].text == "f.test.yaml:10: expected the path done, got big, done"
    assert "there is no flow g" in second[0][0].get("message")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("flow: f", "flow: g"), "there is no flow g"),
        (("steps:", "stpes:"), "[unknown-key]"),
        (("name: few", "name: few\n    slots: {x: 1}"), "has no slot x"),
    ],
)
def test_a_file_that_cannot_be_held_is_exit_code_2_and_the_others_are_held(held, change, says):
    held.write(e_test=GOOD.replace(*change, 1))
    ran = held.run("flow", "test", ".")
    assert ran.code == 2
    assert says in ran.out
    assert "2 passed, 1 unusable" in ran.out


def test_a_broken_flow_is_exit_code_2_with_what_is_wrong_with_it(held):
    held.write(f=FLOW.replace("end: true", "ned: true"))
    ran = held.run("flow", "test", ".")
    assert ran.code == 2
    assert '"ned" is not known here' in ran.out


def test_a_folder_without_conversations_is_exit_code_2(held):
    (held.folder / "f.test.yaml").unlink()
    ran = held.run("flow", "test", ".")
    assert ran.code == 2
    assert "no conversations" in ran.err


@pytest.mark.parametrize(
    ("flow", "conversations"),
    [
        ("f.yaml", "t/f.test.yaml"),
        ("t/flows/f.yaml", "t/f.test.yaml"),
        ("t/other_name.yml", "t/f.test.yaml"),
    ],
)
def test_flows_are_found_in_and_around_the_folder_by_their_name(desk, flow, conversations):
    desk.put(flow, FLOW)
    desk.put(conversations, GOOD)
    assert desk.run("flow", "test", conversations).code == 0


def test_a_flow_that_is_not_near_may_be_given(desk):
    desk.put("a/b/flows/f.yaml", FLOW)
    desk.put("c/d/f.test.yaml", GOOD)
    assert desk.run("flow", "test", "c").code == 2
    assert desk.run("flow", "test", "c", "a/b/flows/f.yaml").code == 0


def test_a_flow_of_ones_own_goes_before_the_one_that_ships_under_its_name(desk):
    desk.write(f=FLOW.replace("flow: f", "flow: faq"), f_test=GOOD.replace("flow: f", "flow: faq"))
    assert desk.run("flow", "test", ".").code == 0


def test_flows_that_ship_may_interrupt_ones_own(desk):
    talk = (
        "  - name: digresses\n    steps:\n      - say: where can I park?\n"
        "        expect: {path: [topic, parking, a], reply: [yard, How many?]}\n"
    )
    desk.write(f=FLOW + "interrupts: {allow: [faq]}\n", f_test=GOOD + talk)
    ran = desk.run("flow", "test", ".")
    assert ran.code == 0, ran.out


def test_the_newest_of_several_versions_is_tested(desk):
    desk.write(f=FLOW, g=FLOW.replace("version: 1", "version: 2").replace("Bye.", "Goodbye."))
    desk.write(f_test=GOOD.replace("Bye.", "Goodbye."))
    assert desk.run("flow", "test", ".").code == 0
