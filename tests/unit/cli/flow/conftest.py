"""Runs `clawdbot …` in this process, in a folder of its own."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from clawdbot_cli.main import main


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


class CommandRunner:
    """A folder with files, and the command run in it."""

    def __init__(self, folder: Path, monkeypatch, capsys) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def write(self, **texts: str) -> None:
        """Writes files; in names, __ stands for a slash and _test for .test."""
        for name, text in texts.items():
            self.put(name.replace("__", "/").replace("_test", ".test") + ".yaml", text)

    def put(self, name: str, text: str | bytes) -> None:
        """Writes one file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def run(self, *arguments: str, stdin: bytes = b"") -> CommandResult:
        """Runs `clawdbot arguments…`."""
        self._monkeypatch.setattr(sys, "argv", ["clawdbot", *arguments])
        self._monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return CommandResult(int(ended.value.code or 0), out, err)


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys) -> CommandRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLAWDBOT_STATE_DIR", str(tmp_path / "state"))
    return CommandRunner(tmp_path, monkeypatch, capsys)
