"""`clawdbot flow lint`: what it checks, its output in each format, and its exit codes."""

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


def test_a_clean_flow_is_exit_code_0_and_one_line(cli):
    cli.write(f=CLEAN)
    result = cli.run("flow", "lint", "f.yaml")
    assert result.code == 0
    assert result.out.startswith("1 file: 0 errors, 0 warnings (0.")


def test_an_error_is_exit_code_1_with_its_line_and_a_caret(cli):
    cli.write(f=BROKEN)
    result = cli.run("flow", "lint", "f.yaml")
    assert result.code == 1
    first, line, caret, *_ = result.out.splitlines()
    assert first == 'f.yaml:3:33: error: There is no state "b". [unknown-state]'
    assert line.index("b}}") == caret.index("^")


def test_warnings_fail_with_strict(cli):
    cli.write(f=WARNED)
    assert cli.run("flow", "lint", "f.yaml").code == 0
    result = cli.run("flow", "lint", "--strict", "f.yaml")
    assert result.code == 1
    assert "[unreachable]" in result.out


def test_standard_input_is_checked(cli):
    result = cli.run("flow", "lint", "-", stdin=BROKEN.encode())
    assert result.code == 1
    assert result.out.startswith("<stdin>:3:33: error:")


def test_folders_are_searched_and_files_that_are_not_flows_are_skipped(cli):
    cli.write(one=CLEAN, deep__er__two=BROKEN, f_test=TALK, compose="services: {a: {image: b}}\n")
    cli.put(".hidden/three.yaml", BROKEN)
    cli.put("node_modules/four.yaml", BROKEN)
    result = cli.run("flow", "lint", ".")
    assert result.code == 1
    assert "3 files: 1 error" in result.out
    assert "deep/er/two.yaml:3:33" in result.out


def test_a_file_that_is_named_is_checked_whatever_it_contains(cli):
    cli.write(compose="services: {a: {image: b}}\n")
    result = cli.run("flow", "lint", "compose.yaml")
    assert result.code == 1
    assert "[unknown-key]" in result.out


def test_a_file_that_is_named_twice_is_checked_once(cli):
    cli.write(f=CLEAN)
    assert cli.run("flow", "lint", "f.yaml", ".", "./f.yaml").out.startswith("1 file:")


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere.yaml", "nowhere.yaml: cannot be read: No such file"), (".", "There is no flow")],
)
def test_a_path_that_cannot_be_checked_is_exit_code_2_with_a_sentence(cli, path, message):
    result = cli.run("flow", "lint", path)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_bytes_that_are_not_utf8_are_reported_with_their_position(cli):
    cli.put("f.yaml", b"flow: f\nversion: 1\ndescription: caf\xe9\n")
    result = cli.run("flow", "lint", "f.yaml")
    assert result.code == 1
    assert "f.yaml:3:17: error: The byte 0xe9 is not UTF-8. [not-utf8]" in result.out


def test_ten_megabytes_are_refused_with_their_size(cli):
    cli.put("f.yaml", HEAD + "a: b\n" * 2_000_000)
    result = cli.run("flow", "lint", "f.yaml")
    assert result.code == 1
    assert "The file has 10,000,019 characters" in result.out


def test_the_json_format_has_every_field(cli):
    cli.write(f=BROKEN)
    result = cli.run("flow", "lint", "--format", "json", "f.yaml")
    report = json.loads(result.out)
    seconds = report["summary"].pop("seconds")
    assert 0 <= seconds < 60
    assert report == {
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


def test_the_github_format_escapes_what_would_end_a_command(cli):
    cli.put("50%,a:b.yaml", BROKEN)
    result = cli.run("flow", "lint", "--format", "github", "50%,a:b.yaml")
    assert result.out.splitlines()[0] == (
        "::error file=50%25%2Ca%3Ab.yaml,line=3,col=33,title=unknown-state::"
        'There is no state "b". Available: a.'
    )


def test_the_content_of_a_file_cannot_control_the_terminal(cli):
    cli.write(f=HEAD + 'states: {a: {say: x, next: "\\e[31mb"}}\n')
    assert "\x1b" not in cli.run("flow", "lint", "f.yaml").out


def test_flows_that_are_nearby_or_given_or_shipped_may_interrupt(cli):
    allow = "slots: {n: {type: integer, ask: q}}\nstates: {a: {collect: [n], next: b}, b: {end: true}}\n"
    allow = HEAD + allow + "interrupts: {allow: [faq, beside, given, gone]}\n"
    cli.write(flows__f=allow, flows__beside=CLEAN.replace("flow: f", "flow: beside"))
    cli.write(far__away__given=CLEAN.replace("flow: f", "flow: given"))
    result = cli.run("flow", "lint", "flows/f.yaml", "far")
    assert result.out.count("[unknown-flow]") == 1
    assert 'There is no flow "gone".' in result.out


def test_an_interrupt_by_a_nearby_flow_that_never_ends_is_reported(cli):
    allow = "slots: {n: {type: integer, ask: q}}\nstates: {a: {collect: [n], next: b}, b: {end: true}}\n"
    cli.write(f=HEAD + allow + "interrupts: {allow: [endless]}\n")
    cli.write(endless="flow: endless\nversion: 1\nstates: {a: {generate: {instructions: i}}}\n")
    assert "f.yaml:5:22: warning: The flow" in cli.run("flow", "lint", "f.yaml").out


@pytest.mark.parametrize(
    ("change", "position", "code"),
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
def test_conversation_tests_are_checked_against_their_flow(cli, change, position, code):
    cli.write(f=CLEAN, f_test=TALK.replace(*change))
    result = cli.run("flow", "lint", ".")
    assert result.code == 1
    (line,) = [each for each in result.out.splitlines() if f"[{code}]" in each]
    assert line.startswith(f"{position}: error:")


def test_conversation_tests_may_name_states_of_flows_that_may_interrupt(cli):
    allow = "slots: {n: {type: integer, ask: q}}\nstates: {a: {collect: [n], next: b}, b: {end: true}}\n"
    talk = TALK.replace("state: a", "path: [topic, hours, a], slots: {topic: hours}")
    cli.write(f=HEAD + allow + "interrupts: {allow: [faq]}\n", f_test=talk)
    assert cli.run("flow", "lint", "--strict", ".").code == 0


def test_tools_and_models_are_checked_if_the_options_say_which_exist(cli):
    cli.write(f=CALLS)
    assert cli.run("flow", "lint", "--strict", "f.yaml").code == 0
    result = cli.run("flow", "lint", "--strict", "--tool", "other", "f.yaml")
    assert result.code == 1
    assert 'There is no tool "calculator.evaluate". [unknown-tool]' in result.out
    cli.write(g=HEAD + "states: {a: {generate: {instructions: i, model: big}}}\n")
    assert "[unknown-model]" in cli.run("flow", "lint", "--model", "chat", "g.yaml").out


def test_arguments_are_checked_against_the_tools_of_a_configuration(cli):
    cli.write(f=CALLS, clawdbot="plugins: [calculator]\n")
    result = cli.run("flow", "lint", "--config", "clawdbot.yaml", "f.yaml")
    assert result.code == 0
    assert 'f.yaml:4:60: warning: "expression" must be string; this is integer. [tool-argument]' in result.out


def test_a_wrong_configuration_is_exit_code_2(cli):
    cli.write(f=CALLS, clawdbot="plugins: [calculater]\n")
    result = cli.run("flow", "lint", "--config", "clawdbot.yaml", "f.yaml")
    assert result.code == 2
    assert "calculator" in result.err


def test_a_suite_that_does_not_answer_is_exit_code_2(cli):
    cli.write(f=CALLS)
    result = cli.run("flow", "lint", "--addr", "127.0.0.1:1", "f.yaml")
    assert result.code == 2
    assert "No server is listening" in result.err


async def test_tools_and_models_come_from_a_running_suite(tmp_path):
    import asyncio

    from clawdbot_cli.flow.available_tools import ToolOptions, available_tools

    overrides = {"state_dir": tmp_path, "server.port": 0, "telemetry.metrics_port": None}
    async with running_suite(suite_settings(None, overrides)) as suite:
        found = await asyncio.to_thread(available_tools, ToolOptions(address=suite.address))
    assert "chat" in found.models
    assert found.tools["calculator.evaluate"]["required"] == ["expression"]


def test_the_garbage_collector_is_enabled_again(cli):
    cli.write(f=CLEAN)
    cli.run("flow", "lint", "f.yaml")
    assert gc.isenabled()
