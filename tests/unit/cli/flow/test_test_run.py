"""`clawdbot flow test`: which conversations it runs with which flows, its output, and its exit codes."""

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
def tested(cli):
    cli.write(f=FLOW, f_test=GOOD)
    return cli


def test_passing_tests_are_exit_code_0(tested):
    result = tested.run("flow", "test", "f.test.yaml")
    assert result.code == 0
    assert result.out.splitlines()[:3] == ["f.test.yaml", "  ok      few", "  ok      many"]
    assert result.out.splitlines()[3].startswith("2 passed (")


def test_a_failing_test_is_reported_with_its_line_and_exit_code_1(tested):
    tested.write(f_test=BAD)
    result = tested.run("flow", "test", ".")
    assert result.code == 1
    assert "  FAILED  many\n    f.test.yaml:10: expected the path done, got big, done\n" in result.out
    assert "1 passed, 1 failed (" in result.out


def test_a_name_filter_selects_tests(tested):
    tested.write(f_test=BAD)
    result = tested.run("flow", "test", "-k", "few", ".")
    assert result.code == 0
    assert "many" not in result.out


def test_the_json_format_has_every_outcome_and_what_is_not_covered(tested):
    tested.write(f_test=BAD)
    result = tested.run("flow", "test", "--format", "json", "--coverage", ".")
    report = json.loads(result.out)
    assert report["format"] == 1
    ((file, error, (few, many)),) = [tuple(each.values()) for each in report["files"]]
    assert (file, error, few["passed"], few["line"]) == ("f.test.yaml", "", True, 4)
    assert many["failures"] == [{"line": 10, "message": "expected the path done, got big, done"}]
    (covered,) = report["coverage"]
    assert covered["states"] == {"total": 4, "percent": 75.0, "missing": [{"name": "late", "line": 14}]}
    assert covered["transitions"]["missing"] == [{"name": "a → late (timeout)", "line": 8}]
    assert report["summary"] | {"seconds": 0} == {"passed": 1, "failed": 1, "unusable": 0, "seconds": 0}


def test_coverage_lists_what_no_test_covers(tested):
    result = tested.run("flow", "test", "--coverage", "-k", "few", ".")
    assert "coverage of f: 2 of 4 states (50 %), 1 of 4 transitions (25 %)" in result.out
    assert "\n  f.yaml:12: never entered: big\n" in result.out
    assert "\n  f.yaml:10: never taken: a → big (if: slots.n > 5)\n" in result.out
    assert "\n  f.yaml:12: never taken: big → done\n" in result.out


@pytest.mark.parametrize(("min_coverage", "code"), [("75", 0), ("75.1", 1), ("0", 0)])
def test_too_little_coverage_is_exit_code_1(tested, min_coverage, code):
    assert tested.run("flow", "test", "--min-coverage", min_coverage, ".").code == code


def test_junit_has_the_counts_and_names_that_ci_systems_read(tested):
    tested.write(
        f_test=BAD.replace("name: many", 'name: "many\\x01 <&>"'), g_test=GOOD.replace("flow: f", "flow: g")
    )
    assert tested.run("flow", "test", "--junit", "out.xml", ".").code == 2
    root = ET.parse(tested.folder / "out.xml").getroot()
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
    ("change", "message"),
    [
        (("flow: f", "flow: g"), "there is no flow g"),
        (("steps:", "stpes:"), "[unknown-key]"),
        (("name: few", "name: few\n    slots: {x: 1}"), "has no slot x"),
    ],
)
def test_an_unusable_file_is_exit_code_2_and_the_others_are_run(tested, change, message):
    tested.write(e_test=GOOD.replace(*change, 1))
    result = tested.run("flow", "test", ".")
    assert result.code == 2
    assert message in result.out
    assert "2 passed, 1 unusable" in result.out


def test_a_broken_flow_is_exit_code_2_with_its_diagnostics(tested):
    tested.write(f=FLOW.replace("end: true", "ned: true"))
    result = tested.run("flow", "test", ".")
    assert result.code == 2
    assert '"ned" is not known here' in result.out


def test_a_folder_without_tests_is_exit_code_2(tested):
    (tested.folder / "f.test.yaml").unlink()
    result = tested.run("flow", "test", ".")
    assert result.code == 2
    assert "no conversation tests" in result.err


@pytest.mark.parametrize(
    ("flow", "conversations"),
    [
        ("f.yaml", "t/f.test.yaml"),
        ("t/flows/f.yaml", "t/f.test.yaml"),
        ("t/other_name.yml", "t/f.test.yaml"),
    ],
)
def test_flows_are_found_by_name_in_and_around_the_folder(cli, flow, conversations):
    cli.put(flow, FLOW)
    cli.put(conversations, GOOD)
    assert cli.run("flow", "test", conversations).code == 0


def test_a_flow_that_is_not_nearby_can_be_given(cli):
    cli.put("a/b/flows/f.yaml", FLOW)
    cli.put("c/d/f.test.yaml", GOOD)
    assert cli.run("flow", "test", "c").code == 2
    assert cli.run("flow", "test", "c", "a/b/flows/f.yaml").code == 0


def test_a_nearby_flow_overrides_the_shipped_one_of_the_same_name(cli):
    cli.write(f=FLOW.replace("flow: f", "flow: faq"), f_test=GOOD.replace("flow: f", "flow: faq"))
    assert cli.run("flow", "test", ".").code == 0


def test_shipped_flows_may_interrupt_other_flows(cli):
    talk = (
        "  - name: digresses\n    steps:\n      - say: where can I park?\n"
        "        expect: {path: [topic, parking, a], reply: [yard, How many?]}\n"
    )
    cli.write(f=FLOW + "interrupts: {allow: [faq]}\n", f_test=GOOD + talk)
    result = cli.run("flow", "test", ".")
    assert result.code == 0, result.out


def test_the_newest_of_several_versions_is_tested(cli):
    cli.write(f=FLOW, g=FLOW.replace("version: 1", "version: 2").replace("Bye.", "Goodbye."))
    cli.write(f_test=GOOD.replace("Bye.", "Goodbye."))
    assert cli.run("flow", "test", ".").code == 0
