"""The command that holds conversation files: what it says, and its exit codes."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.conversations.__main__ import main

FLOW = "flow: f\nversion: 1\nstates: {a: {say: Hello., end: true}}\n"
GOOD = "flow: f\nnow: 2026-11-24T10:00\nconversations: [{name: one, steps: [{expect: {reply: Hello.}}]}]\n"


@pytest.fixture
def files(tmp_path):
    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return lambda name: str(tmp_path / f"{name}.yaml")

    return write


def test_without_files_those_that_ship_are_held(capsys):
    assert main([]) == 0
    assert "ok      books a table from one sentence" in capsys.readouterr().out


def test_a_conversation_about_a_flow_of_ones_own_is_held(files, capsys):
    path = files(f=FLOW, c=GOOD)
    assert main(["--flow", path("f"), path("c")]) == 0
    assert capsys.readouterr().out == "ok      one\n"


def test_one_that_goes_another_way_is_told_with_its_line_and_exit_code_1(files, capsys):
    path = files(f=FLOW, c=GOOD.replace("Hello", "Goodbye"))
    assert main(["--flow", path("f"), path("c")]) == 1
    assert f"{path('c')}:3: expected the reply 'Goodbye.', it is 'Hello.'" in capsys.readouterr().out


def test_a_flow_of_ones_own_goes_before_the_one_that_ships_under_its_name(files, capsys):
    path = files(f=FLOW.replace("flow: f", "flow: faq"), c=GOOD.replace("flow: f", "flow: faq"))
    assert main(["--flow", path("f"), path("c")]) == 0
    assert capsys.readouterr().out == "ok      one\n"


def test_warnings_about_a_flow_of_ones_own_are_shown(files, capsys):
    path = files(f=FLOW.replace("end: true}", "end: true}, b: {end: true}"), c=GOOD)
    assert main(["--flow", path("f"), path("c")]) == 0
    assert "[unreachable]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flow", "conversation", "says"),
    [
        (FLOW.replace("say:", "sya:"), GOOD, 'The key "sya" is not known here. [unknown-key]'),
        (FLOW, GOOD.replace("steps:", "stpes:"), "[unknown-key]"),
        (FLOW, GOOD.replace("flow: f", "flow: g"), "there is no flow g"),
        (FLOW, GOOD.replace("name: one,", "name: one, slots: {x: 1},"), "has no slot x"),
        (FLOW, None, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_told_with_exit_code_2(files, capsys, flow, conversation, says):
    path = files(f=flow, **({"c": conversation} if conversation else {}))
    assert main(["--flow", path("f"), path("c")]) == 2
    assert says in capsys.readouterr().err
