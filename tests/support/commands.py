"""The `clawdbot` command as a child process: run to its end, or until it prints a text."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND_TIMEOUT = 60.0
"""Seconds for a command to end, or to print what a test waits for, on a busy machine."""


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def command_environment(state: Path, **environment: str) -> dict[str, str]:
    """The environment of a command with its own state directory, without API keys and the small model."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_API_KEY") and not name.startswith("CLAWDBOT_")
    }
    defaults = {"CLAWDBOT_STATE_DIR": str(state), "CLAWDBOT_GATEWAY__LOCAL_MODEL": "false"}
    return {**inherited, **defaults, **environment}


async def clawdbot(
    *arguments: str,
    state: Path,
    lines: str | bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: Path | None = None,
    stdout: int = asyncio.subprocess.PIPE,
) -> CommandResult:
    """Runs `clawdbot arguments…` to its end, with the lines, or a file, as standard input."""
    with ExitStack() as stack:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clawdbot_cli", *arguments),
            stdin=stack.enter_context(stdin.open("rb")) if stdin else asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder or state,
            env=command_environment(state, **(environment or {})),
        )
    content = None if stdin else lines.encode() if isinstance(lines, str) else lines
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            out, err = await process.communicate(content)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return CommandResult(process.returncode or 0, (out or b"").decode(), err.decode())


class RunningCommand:
    """A command that is running."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.out = ""
        self._process = process
        self._log = log

    @property
    def err(self) -> str:
        return self._log.read_text()

    async def wait_for(self, text: str) -> str:
        """Waits until stdout contains the text; everything on stdout."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                while text not in self.out:
                    line = await self._process.stdout.readline()
                    if not line:
                        raise AssertionError(f"ended without printing {text!r}:\n{self.out}\n{self.err}")
                    self.out += line.decode()
        except TimeoutError:
            raise AssertionError(f"did not print {text!r} in time:\n{self.out}\n{self.err}") from None
        return self.out

    async def stop(self, number: signal.Signals) -> int:
        """Sends the signal; the exit code."""
        self._process.send_signal(number)
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"did not end in time:\n{self.err}") from None


@asynccontextmanager
async def running_clawdbot(
    *arguments: str, state: Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[RunningCommand]:
    """Runs `clawdbot arguments…` until the block ends."""
    log = state / "stderr.log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clawdbot_cli", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=folder or state,
            env=command_environment(state, **(environment or {})),
        )
    try:
        yield RunningCommand(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
