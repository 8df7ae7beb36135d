"""Graphviz's `dot` as a child process: it is C that reads what others wrote, and costs processor time."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Final, Literal

RENDER_TIMEOUT: Final = 15.0
"""Seconds for one picture, waiting for others included."""
MAX_IMAGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one picture."""
MAX_CONCURRENT: Final = 2
"""Pictures drawn at the same time by one Renderer."""


class RendererMissing(Exception):
    """There is no `dot` on PATH."""

    def __init__(self) -> None:
        super().__init__("Graphviz is not installed: install the package graphviz, so that `dot` is on PATH.")


class RendererBroken(Exception):
    """`dot` did not draw the picture."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(f"Graphviz did not draw the picture: {explanation}.")


class GraphvizRenderer:
    """Draws a few pictures at once; more wait."""

    def __init__(
        self, at_once: int = MAX_CONCURRENT, time: float = RENDER_TIMEOUT, largest: int = MAX_IMAGE_BYTES
    ) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._time = time
        self._largest = largest

    async def render(self, dot: str, form: Literal["svg", "png"]) -> bytes:
        """A picture of a graph. Cancelling kills the child.

        Raises:
            RendererMissing: there is no `dot` on PATH.
            RendererBroken: it failed, took too long, or drew too much.
        """
        program = shutil.which("dot")
        if program is None:
            raise RendererMissing
        try:
            async with asyncio.timeout(self._time), self._free:
                return await self._drawn(program, dot, form)
        except TimeoutError:
            raise RendererBroken(f"it took more than {self._time:g} seconds") from None

    async def _drawn(self, program: str, dot: str, form: str) -> bytes:
        child = await asyncio.create_subprocess_exec(
            program, f"-T{form}", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_feed(child, dot.encode()))
                reading = tasks.create_task(self._read(child))
            code = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                # Shielded: a second cancellation must not leave a zombie.
                await asyncio.shield(child.wait())
        data = reading.result()
        if len(data) > self._largest:
            raise RendererBroken(f"the picture has more than {self._largest:,} bytes")
        if code:
            raise RendererBroken(f"it ended with exit code {code}")
        return data

    async def _read(self, child: Process) -> bytes:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        data = bytearray()
        while len(data) <= self._largest and (piece := await child.stdout.read(65_536)):
            data += piece
        if len(data) > self._largest:
            child.kill()
        return bytes(data)


async def render(dot: str, form: Literal["svg", "png"]) -> bytes:
    """One picture; see Renderer.render."""
    return await GraphvizRenderer().render(dot, form)


async def _feed(child: Process, data: bytes) -> None:
    assert child.stdin is not None  # noqa: S101 - it is a pipe
    try:
        child.stdin.write(data)
        await child.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # It ended early; its exit code says so.
    finally:
        child.stdin.close()
