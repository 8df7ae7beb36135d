"""What `clawdbot flow watch` shows after a change; tests/integration covers the watching itself."""

from __future__ import annotations

from clawdbot_cli.flow.watch import check_and_test

FLOW = "flow: f\nversion: 1\nstates: {a: {say: Hello., end: true}}\n"
TALK = "flow: f\nnow: 2026-11-24T10:00\nconversations: [{name: one, steps: [{expect: {reply: Hello.}}]}]\n"


def test_flows_are_checked_and_tests_are_run(cli):
    cli.write(f=FLOW, f_test=TALK)
    shown = check_and_test(["."], ["/x/f.yaml"])
    assert shown.startswith("── ")
    assert " f.yaml\n" in shown
    assert "2 files: 0 errors, 0 warnings" in shown
    assert "ok      one" in shown


def test_without_tests_flows_are_only_checked(cli):
    cli.write(f=FLOW)
    assert "passed" not in check_and_test(["."], ())


def test_a_half_written_file_is_reported_and_does_not_raise(cli):
    cli.write(f=FLOW[:40], f_test=TALK)
    shown = check_and_test(["."], ())
    assert "[syntax]" in shown
    assert "1 unusable" in shown
    assert "cannot be read" in check_and_test(["gone.yaml"], ())


def test_a_missing_path_is_exit_code_2(cli):
    result = cli.run("flow", "watch", "nowhere")
    assert result.code == 2
    assert "nowhere: no such file or folder." in result.err
