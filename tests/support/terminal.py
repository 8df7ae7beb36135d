"""A program at a terminal of its own, which a test types at and reads."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

PATIENCE = 30.0
"""Seconds for something to appear on a busy machine."""

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]")
"""What a program writes to place and colour its text."""


class Terminal:
    """The keyboard and the screen."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._master = master
        self._raw = b""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    @property
    def raw(self) -> str:
        """Everything written so far, as it was written."""
        return self._raw.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """The same without colours and cursor movements."""
        return CONTROL.sub("", self.raw).replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        """Presses keys; chr(13) is Return, chr(3) Ctrl-C."""
        os.write(self._master, keys.encode())

    async def see(self, wanted: str, times: int = 1) -> None:
        """Returns when the text has appeared so many times."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self.text.count(wanted) < times:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{wanted!r} never appeared in:\n{self.text}") from None

    async def prompted(self, prompt: str = "you › ") -> None:
        """Returns when the program waits at its prompt; before that, keys go to the terminal itself."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not self.text.endswith(prompt):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no prompt after:\n{self.text}") from None

    async def ended(self) -> int:
        """The exit code."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"does not end:\n{self.text}") from None

    def _read(self) -> None:
        try:
            piece = os.read(self._master, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says so when the other end is closed
                raise
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._master)
        self._raw += piece
        self._news.set()


@asynccontextmanager
async def terminal(
    *arguments: str, environment: Mapping[str, str] | None = None, columns: int = 100
) -> AsyncIterator[Terminal]:
    """Runs `python -m arguments…` at a terminal, and ends it on the way out."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        # Nobody answers prompt_toolkit's question where the cursor is.
        env={**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **(environment or {})},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
