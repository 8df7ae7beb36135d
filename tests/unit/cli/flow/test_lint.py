"""`clawdbot flow lint`: what it looks at, what it says in each form, and its exit codes."""

from __future__ import annotations

import gc
import json

import pytest
from clawdbot_cli.settings import suite_settings
from clawdbot_cli.suite import running_suite

HEAD = "flow: f\nversion: 1\n"
CLEAN = HEAD + "states: {a: {say: Hello., end: true}}\n"
BROKEN = HEAD + "states: {a: {say: Hello., next: b}}\n"
WARNED = HEAD + "states: {a: {say: Hello., end: true}, b: {end: true}}\n"
TALK = "flow: f\nnow: 2026-11-24T10:00\nconversations: [{name: one, steps: [{expect: {state: a}}]}]\n"
CALLS = HEAD + (
    "states:\n"
    "  a: {call: {tool: calculator.evaluate, args: {expression: 3}}, next: [{to: b}, {on_error: any, to: b}]}"
    "\n  b: {end: true}\n"
)


def test_a_clean_flow_is_exit_code_0_and_one_line(desk):
    desk.write(f=CLEAN)
    ran = desk.run("flow", "lint", "f.yaml")
    assert ran.code == 0
    assert ran.out.startswith("1 file: 0 errors, 0 warnings (0.")


def test_an_error_is_exit_code_1_with_its_line_and_a_caret(desk):
    desk.write(f=BROKEN)
    ran = desk.run("flow", "lint", "f.yaml")
    assert ran.code == 1
    place, line, caret, *_ = ran.out.splitlines()
    assert place == 'f.yaml:3:33: error: There is no state "b". [unknown-state]'
    assert line.index("b}}") == caret.index("^")


def test_warnings_fail_where_that_is_wished(desk):
    desk.write(f=WARNED)
    assert desk.run("flow", "lint", "f.yaml").code == 0
    ran = desk.run("flow", "lint", "--strict", "f.yaml")
    assert ran.code == 1
    assert "[unreachable]" in ran.out


def test_standard_input_is_looked_at(desk):
    ran = desk.run("flow", "lint", "-", stdin=BROKEN.encode())
    assert ran.code == 1
    assert ran.out.startswith("<stdin>:3:33: error:")


def test_folders_are_gone_through_and_what_is_no_flow_is_passed_over(desk):
    desk.write(one=CLEAN, deep__er__two=BROKEN, f_test=TALK, compose="services: {a: {image: b}}\n")
    desk.put(".hidden/three.yaml", BROKEN)
    desk.put("node_modules/four.yaml", BROKEN)
    ran = desk.run("flow", "lint", ".")
    assert ran.code == 1
    assert "3 files: 1 error" in ran.out
    assert "deep/er/two.yaml:3:33" in ran.out


def test_a_file_that_is_named_is_looked_at_whatever_is_in_it(desk):
    desk.write(compose="services: {a: {image: b}}\n")
    ran = desk.run("flow", "lint", "compose.yaml")
    assert ran.code == 1
    assert "[unknown-key]" in ran.out


def test_a_file_that_is_named_twice_is_looked_at_once(desk):
    desk.write(f=CLEAN)
    assert desk.run("flow", "lint", "f.yaml", ".", "./f.yaml").out.startswith("1 file:")


@pytest.mark.parametrize(
    ("place", "says"),
    [("nowhere.yaml", "nowhere.yaml: cannot be read: No such file"), (".", "There is no flow")],
)
def test_what_cannot_be_looked_at_is_exit_code_2_with_a_sentence(desk, place, says):
    ran = desk.run("flow", "lint", place)
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_bytes_that_are_no_text_are_told_with_their_place(desk):
    desk.put("f.yaml", b"flow: f\nversion: 1\ndescription: caf\xe9\n")
    ran = desk.run("flow", "lint", "f.yaml")
    assert ran.code == 1
    assert "f.yaml:3:17: error: The byte 0xe9 is not UTF-8. [not-utf8]" in ran.out


def test_ten_megabytes_are_refused_with_their_size(desk):
    desk.put("f.yaml", HEAD + "a: b\n" * 2_000_000)
    ran = desk.run("flow", "lint", "f.yaml")
    assert ran.code == 1
    assert "The file has 10,000,019 characters" in ran.out


def test_the_json_form_holds_every_field(desk):
    desk.write(f=BROKEN)
    ran = desk.run("flow", "lint", "--format", "json", "f.yaml")
    found = json.loads(ran.out)
    seconds = found["summary"].pop("seconds")
    assert 0 <= seconds < 60
    assert found == {
        "format": 1,
        "diagnostics": [
            {
                "file": "f.yaml",
                "line": 3,
                "column": 33,
                "severity": "error",
                "code": "unknown-state",
                "message": 'There is no state "b".',
                "hint": "Available: a.",
            }
        ],
        "summary": {"files": 1, "errors": 1, "warnings": 0},
    }


def test_the_form_for_github_escapes_what_would_end_a_command(desk):
    desk.put("50%,a:b.yaml", BROKEN)
    ran = desk.run("flow", "lint", "--format", "github", "50%,a:b.yaml")
    assert ran.out.splitlines()[0] == (
        "::error file=50%25%2Ca%3Ab.yaml,line=3,col=33,title=unknown-state::"
        'There is no state "b". Available: a.'
    )


def test_what_a_file_says_does_nothing_to_a_terminal(desk):
    desk.write(f=HEAD + 'states: {a: {say: x, next: "\\e[31mb"}}\n')
    assert "\x1b" not in desk.run("flow", "lint", "f.yaml").out


def test_flows_that_are_near_or_given_or_shipped_may_interrupt(desk):
    allow = "slots: {n: {type: integer, ask: q}}\nstates: {a: {collect: [n], next: b}, b: {end: true}}\n"
    allow = HEAD + allow + "interrupts: {allow: [faq, beside, given, gone]}\n"
    desk.write(flows__f=allow, flows__beside=CLEAN.replace("flow: f", "flow: beside"))
    desk.write(far__away__given=CLEAN.replace("flow: f", "flow: given"))
    ran = desk.run("flow", "lint", "flows/f.yaml", "far")
    assert ran.out.count("[unknown-flow]") == 1
    assert 'There is no flow "gone".' in ran.out


def test_an_interrupt_by_a_flow_beside_it_that_never_ends_is_told(desk):
    allow = "slots: {n: {type: integer, ask: q}}\nstates: {a: {collect: [n], next: b}, b: {end: true}}\n"
    desk.write(f=HEAD + allow + "interrupts: {allow: [endless]}\n")
    desk.write(endless="flow: endless\nversion: 1\nstates: {a: {generate: {instructions: i}}}\n")
    assert "f.yaml:5:22: warning: The flow" in desk.run("flow", "lint", "f.yaml").out


@pytest.mark.parametrize(
    ("change", "place", "code"),
    [
        (("flow: f", "flow: g"), "f.test.yaml:1:7", "unknown-flow"),
        (("name: one", "name: one, flow: g"), "f.test.yaml:3:35", "unknown-flow"),
        (("state: a", "state: z"), "f.test.yaml:3:54", "unknown-state"),
        (("state: a", "path: [a, z]"), "f.test.yaml:3:57", "unknown-state"),
        (("state: a", "slots: {n: 1}"), "f.test.yaml:3:55", "undeclared-slot"),
        (("steps:", "stpes:"), "f.test.yaml:3:29", "unknown-key"),
        (("now: 2026-11-24T10:00", "now: soon"), "f.test.yaml:2:6", "wrong-type"),
    ],
)
def test_conversations_are_held_to_their_flow(desk, change, place, code):
    desk.write(f=CLEAN, f_test=TALK.replace(*change))
    ran = desk.run("flow", "lint", ".")
    assert ran.code == 1
    (line,) = [each for each in ran.out.splitlines() if f"[{code}]" in each]
    assert line.startswith(f"{place}: error:")


def test_states_of_flows_that_may_interrupt_are_known_in_conversations(desk):
    allow = "slots: {n: {type: integer, ask: q}}\nstates: {a: {collect: [n], next: b}, b: {end: true}}\n"
    talk = TALK.replace("state: a", "path: [topic, hours, a], slots: {topic: hours}")
    desk.write(f=HEAD + allow + "interrupts: {allow: [faq]}\n", f_test=talk)
    assert desk.run("flow", "lint", "--strict", ".").code == 0


def test_tools_and_models_are_checked_where_it_is_said_which_there_are(desk):
    desk.write(f=CALLS)
    assert desk.run("flow", "lint", "--strict", "f.yaml").code == 0
    ran = desk.run("flow", "lint", "--strict", "--tool", "other", "f.yaml")
    assert ran.code == 1
    assert 'There is no tool "calculator.evaluate". [unknown-tool]' in ran.out
    desk.write(g=HEAD + "states: {a: {generate: {instructions: i, model: big}}}\n")
    assert "[unknown-model]" in desk.run("flow", "lint", "--model", "chat", "g.yaml").out


def test_arguments_are_held_to_the_tools_of_a_configuration(desk):
    desk.write(f=CALLS, clawdbot="plugins: [calculator]\n")
    ran = desk.run("flow", "lint", "--config", "clawdbot.yaml", "f.yaml")
    assert ran.code == 0
    assert 'f.yaml:4:60: warning: "expression" must be string; this is integer. [tool-argument]' in ran.out


def test_a_configuration_that_is_wrong_is_exit_code_2(desk):
    desk.write(f=CALLS, clawdbot="plugins: [calculater]\n")
    ran = desk.run("flow", "lint", "--config", "clawdbot.yaml", "f.yaml")
    assert ran.code == 2
    assert "calculator" in ran.err


def test_a_suite_that_does_not_answer_is_exit_code_2(desk):
    desk.write(f=CALLS)
    ran = desk.run("flow", "lint", "--addr", "127.0.0.1:1", "f.yaml")
    assert ran.code == 2
    assert "Nobody listens" in ran.err


async def test_tools_and_models_are_asked_of_a_running_suite(tmp_path):
    import asyncio

    from clawdbot_cli.flow.available_tools import Wishes, known

    told = {"state_dir": tmp_path, "server.port": 0, "telemetry.metrics_port": None}
    async with running_suite(suite_settings(None, told)) as suite:
        found = await asyncio.to_thread(known, Wishes(address=suite.address))
    assert "chat" in found.models
    assert found.tools["calculator.evaluate"]["required"] == ["expression"]


def test_the_collector_works_again_afterwards(desk):
    desk.write(f=CLEAN)
    desk.run("flow", "lint", "f.yaml")
    assert gc.isenabled()
