"""Runs Graphviz's `dot` as a child process: it is C code that reads input of others, and takes CPU time."""

from __future__ import annotations

import asyncio
import resource
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import Final, Literal

from clawdbot_servicekit.child_input import feed

RENDER_TIMEOUT: Final = 15.0
"""Seconds for one image, the wait for others included."""
MAX_IMAGE_BYTES: Final = 8 * 1024 * 1024
MAX_MEMORY_BYTES: Final = 1024**3
"""Address space of one child process, on Linux."""
MAX_CONCURRENT: Final = 2
"""Images that one GraphvizRenderer draws at the same time."""


class RendererMissing(Exception):
    """`dot` is not on PATH."""

    def __init__(self) -> None:
        super().__init__("Graphviz is not installed: install the package graphviz, so that `dot` is on PATH.")


class RendererFailed(Exception):
    """`dot` failed to draw the image."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(f"Graphviz failed to draw the flow: {explanation}.")


class GraphvizRenderer:
    """Draws a few images at a time; more have to wait."""

    def __init__(
        self,
        max_concurrent: int = MAX_CONCURRENT,
        timeout: float = RENDER_TIMEOUT,
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> None:
        self._free = asyncio.Semaphore(max_concurrent)
        self._timeout = timeout
        self._max_bytes = max_bytes

    async def render(self, dot: str, image_format: Literal["svg", "png"]) -> bytes:
        """Draws a graph in the DOT language. Cancelling kills the child process.

        Raises:
            RendererMissing: `dot` is not on PATH.
            RendererFailed: `dot` failed, took too long, or made too large an image.
        """
        program = shutil.which("dot")
        if program is None:
            raise RendererMissing
        try:
            async with asyncio.timeout(self._timeout), self._free:
                return await self._run(program, dot, image_format)
        except TimeoutError:
            raise RendererFailed(f"it took more than {self._timeout:g} seconds") from None

    async def _run(self, program: str, dot: str, image_format: str) -> bytes:
        child = await asyncio.create_subprocess_exec(
            program, f"-T{image_format}", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        try:
            _limit(child, self._timeout)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_write_input(child, dot.encode()))
                reading = tasks.create_task(self._read_output(child))
            code = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                # Shielded: a second cancellation must not leave a zombie.
                await asyncio.shield(child.wait())
        data = reading.result()
        if len(data) > self._max_bytes:
            raise RendererFailed(f"the image has more than {self._max_bytes:,} bytes")
        if code:
            raise RendererFailed(f"it ended with exit code {code}")
        return data

    async def _read_output(self, child: Process) -> bytes:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        data = bytearray()
        while len(data) <= self._max_bytes and (chunk := await child.stdout.read(65_536)):
            data += chunk
        if len(data) > self._max_bytes:
            child.kill()
        return bytes(data)


def _limit(child: Process, seconds: float) -> None:
    """Limits memory and processor time, also for the case that this process dies. It reads nothing before."""
    if hasattr(resource, "prlimit"):
        cpu = max(1, round(seconds))
        with suppress(ProcessLookupError):
            resource.prlimit(child.pid, resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
            resource.prlimit(child.pid, resource.RLIMIT_CPU, (cpu, cpu))


async def _write_input(child: Process, data: bytes) -> None:
    assert child.stdin is not None  # noqa: S101 - it is a pipe
    try:
        await feed(child, data)
    finally:
        child.stdin.close()
