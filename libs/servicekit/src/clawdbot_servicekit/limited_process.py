"""Work on what a caller sent, in processes whose time and memory are limited and that can be killed.

A check that is long, or holds the GIL, neither blocks the event loop there nor outlives its caller: leaving
the block that started a process kills it, and so does the cancellation of a call. The process itself runs
limited_main.py.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from clawdbot_servicekit.child_input import feed
from clawdbot_servicekit.limited_main import LENGTH, OUT_OF_MEMORY


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use."""

    seconds: float
    """From the start of the process to its last answer; its processor time is limited to the same."""
    memory: int
    """Bytes of address space."""
    processes: int
    """Processes at the same time; more have to wait."""


class LimitReached(Exception):
    """A process was ended because it needed too much, or crashed."""

    def __init__(self, limit: str) -> None:
        self.limit = limit
        """For people: "10 seconds"."""
        super().__init__(limit)


class LimitedProcess:
    """A running process that answers questions, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._end = asyncio.get_running_loop().time() + limits.seconds

    async def ask(self, question: bytes) -> bytes:
        """The process's answer.

        Raises:
            LimitReached: it took too long, needed too much memory, or crashed.
        """
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it is a pipe
        try:
            async with asyncio.timeout_at(self._end):
                await feed(self._process, LENGTH.pack(len(question)) + question)
                (length,) = LENGTH.unpack(await stdout.readexactly(LENGTH.size))
                return await stdout.readexactly(length)
        except TimeoutError:
            raise LimitReached(f"{self._limits.seconds:g} seconds") from None
        except asyncio.IncompleteReadError:
            raise LimitReached(self._limit_of(await self._process.wait())) from None

    def _limit_of(self, code: int) -> str:
        if code == OUT_OF_MEMORY:
            return f"{self._limits.memory // 1024**2} MB of memory"
        if code == -signal.SIGXCPU:
            return f"{self._limits.seconds:g} seconds"
        return f"{self._limits.seconds:g} seconds or {self._limits.memory // 1024**2} MB of memory"


class LimitedProcesses:
    """Starts processes that run one module, a bounded number at a time."""

    def __init__(self, module: str, limits: Limits) -> None:
        """No process is started yet.

        Args:
            module: its main calls `serve_questions`.
            limits: what each process may use.
        """
        self.limits = limits
        self._module = module
        self._slots = asyncio.Semaphore(limits.processes)

    @asynccontextmanager
    async def start(self) -> AsyncGenerator[LimitedProcess, None]:
        """Starts a process once there is room for it; it is killed at the end of the block."""
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", self._module),
                *(str(max(1, round(self.limits.seconds))), str(self.limits.memory)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                yield LimitedProcess(process, self.limits)
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill()
                    # Shielded: a second cancellation must not leave a zombie.
                    await asyncio.shield(process.wait())
