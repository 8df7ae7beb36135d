"""A program in a pseudo-terminal, in which a test types and reads."""

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

TIMEOUT = 60.0
"""Seconds for a text to appear on a busy machine."""

CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]")
"""Moves the cursor or changes colours."""


class Terminal:
    """The keyboard and the screen."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._master = master
        self._raw = b""
        self._output_changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    @property
    def raw(self) -> str:
        """Everything written so far, as it was written."""
        return self._raw.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """The same without colours and cursor movements."""
        return CONTROL_SEQUENCE.sub("", self.raw).replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        """Presses keys; chr(13) is Return, chr(3) Ctrl-C."""
        os.write(self._master, keys.encode())

    async def wait_for(self, text: str, times: int = 1) -> None:
        """Waits until the text has appeared this many times."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while self.text.count(text) < times:
                    self._output_changed.clear()
                    await self._output_changed.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} did not appear in time:\n{self.text}") from None

    async def wait_for_prompt(self, prompt: str = "you › ") -> None:
        """Waits until the program shows its prompt; before that, the terminal itself echoes keys."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while not self.text.endswith(prompt):
                    self._output_changed.clear()
                    await self._output_changed.wait()
        except TimeoutError:
            raise AssertionError(f"no prompt in time:\n{self.text}") from None

    async def exit_code(self) -> int:
        """Waits until the program ends."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"did not end in time:\n{self.text}") from None

    def _read(self) -> None:
        try:
            chunk = os.read(self._master, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says so when the other end is closed
                raise
            chunk = b""
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._master)
        self._raw += chunk
        self._output_changed.set()


@asynccontextmanager
async def terminal(
    *arguments: str, environment: Mapping[str, str] | None = None, columns: int = 100, rows: int = 40
) -> AsyncIterator[Terminal]:
    """Runs `python -m arguments…` in a terminal until the block ends."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    # The terminal tells its size, not the environment; pytest-xdist sets COLUMNS in its workers.
    variables = {**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **(environment or {})}
    for name in ("COLUMNS", "LINES"):
        variables.pop(name, None)
    process = await asyncio.create_subprocess_exec(
        # The first terminal that the leader of a session opens controls it. A function that did so between
        # fork and exec would run with locks that gRPC's threads hold in this process.
        *("/bin/sh", "-c", 'exec "$@" <> "$0"', os.ttyname(slave), sys.executable, "-m", *arguments),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        # Nothing answers when prompt_toolkit asks for the position of the cursor.
        env=variables,
        start_new_session=True,
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
