"""The `clawdbot` command as a child process: run to its end, or until it says something."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 30.0
"""Seconds for a command to end, or to say what is waited for, on a busy machine."""


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str


def surroundings(state: Path, **environment: str) -> dict[str, str]:
    """The environment of a command with a state directory of its own, and without a developer's keys."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_API_KEY") and not name.startswith("CLAWDBOT_")
    }
    return {**inherited, "CLAWDBOT_STATE_DIR": str(state), **environment}


async def clawdbot(
    *arguments: str,
    state: Path,
    lines: str | bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: Path | None = None,
    stdout: int = asyncio.subprocess.PIPE,
) -> Ended:
    """Runs `clawdbot arguments…` with the lines, or a file, on its standard input, to its end."""
    with ExitStack() as stack:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clawdbot_cli", *arguments),
            stdin=stack.enter_context(stdin.open("rb")) if stdin else asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder or state,
            env=surroundings(state, **(environment or {})),
        )
    given = None if stdin else lines.encode() if isinstance(lines, str) else lines
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, (out or b"").decode(), err.decode())


class Running:
    """A command that runs on."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.out = ""
        self._process = process
        self._log = log

    @property
    def err(self) -> str:
        return self._log.read_text()

    async def say(self, wanted: str) -> str:
        """Returns everything on stdout once it holds the text."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                while wanted not in self.out:
                    line = await self._process.stdout.readline()
                    if not line:
                        raise AssertionError(f"{wanted!r} was never said:\n{self.out}\n{self.err}")
                    self.out += line.decode()
        except TimeoutError:
            raise AssertionError(f"{wanted!r} was not said in time:\n{self.out}\n{self.err}") from None
        return self.out

    async def end(self, number: signal.Signals) -> int:
        """The exit code after the signal."""
        self._process.send_signal(number)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"does not end:\n{self.err}") from None


@asynccontextmanager
async def running(
    *arguments: str, state: Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """Runs `clawdbot arguments…` until the block ends."""
    log = state / "stderr.log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clawdbot_cli", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=sink,
            cwd=folder or state,
            env=surroundings(state, **(environment or {})),
        )
    try:
        yield Running(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
