"""What `clawdbot flow watch` shows in one round; that it goes round is in tests/integration."""

from __future__ import annotations

from clawdbot_cli.flow.watch import round_of

FLOW = "flow: f\nversion: 1\nstates: {a: {say: Hello., end: true}}\n"
TALK = "flow: f\nnow: 2026-11-24T10:00\nconversations: [{name: one, steps: [{expect: {reply: Hello.}}]}]\n"


def test_a_round_checks_and_holds_conversations(desk):
    desk.write(f=FLOW, f_test=TALK)
    shown = round_of(["."], ["/x/f.yaml"])
    assert shown.startswith("── ")
    assert " f.yaml\n" in shown
    assert "2 files: 0 errors, 0 warnings" in shown
    assert "ok      one" in shown


def test_without_conversations_a_round_checks_only(desk):
    desk.write(f=FLOW)
    assert "passed" not in round_of(["."], ())


def test_a_file_that_is_half_written_is_told_and_ends_nothing(desk):
    desk.write(f=FLOW[:40], f_test=TALK)
    shown = round_of(["."], ())
    assert "[syntax]" in shown
    assert "1 unusable" in shown
    assert "cannot be read" in round_of(["gone.yaml"], ())


def test_a_place_that_is_not_there_is_exit_code_2(desk):
    ran = desk.run("flow", "watch", "nowhere")
    assert ran.code == 2
    assert "nowhere: there is no such file or folder." in ran.err
