"""A printed command line calls the same command again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from clawdbot_cli.invocation import command_line, program, short_path


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / ".venv" / "bin" / "clawdbot"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_script_below_the_working_directory_is_called_by_its_relative_path(script, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert program(str(script), "/usr/bin/python3", tmp_path) == [".venv/bin/clawdbot"]


def test_a_relative_call_from_the_makefile_stays_as_it_is(script, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert program(".venv/bin/clawdbot", "/usr/bin/python3", tmp_path) == [".venv/bin/clawdbot"]


def test_a_script_on_the_path_is_called_by_its_name(script, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(script.parent))
    assert program(str(script), "/usr/bin/python3", tmp_path) == ["clawdbot"]


def test_another_clawdbot_on_the_path_is_not_confused_with_this_one(script, tmp_path, monkeypatch):
    other = tmp_path / "other" / "clawdbot"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert program(str(script), "/usr/bin/python3", tmp_path) == [".venv/bin/clawdbot"]


def test_a_module_is_called_through_its_interpreter():
    words = program("/lib/clawdbot_cli/__main__.py", "/usr/bin/python3", Path("/home/me"))
    assert words == ["/usr/bin/python3", "-m", "clawdbot_cli"]


def test_a_file_in_the_working_directory_gets_a_leading_dot():
    assert short_path(Path("clawdbot"), Path("/home/me")) == "./clawdbot"


def test_arguments_are_quoted_for_the_shell(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/bin/clawdbot"])
    assert (
        command_line("chat", "--config", "my file.yaml") == "/opt/bin/clawdbot chat --config 'my file.yaml'"
    )


def test_the_working_directory_is_a_dot():
    assert short_path(Path("/a/b"), Path("/a/b")) == "."
