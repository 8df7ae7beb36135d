"""Where the chat's lines come from: the port, and standard input as a pipe. The prompt is in prompt.py."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Final, Protocol

from typing_extensions import override

from clawdbot_cli.chat.screen import PROMPT, Screen

STDIN_FD: Final = 0
MAX_LINE_BYTES: Final = 1_000_000
"""Of one line from a pipe; the services accept less."""
MAX_QUEUED_LINES: Final = 64
"""Lines that are read from a pipe ahead of the turns."""


class LineSource(Protocol):
    """A source of lines."""

    async def next_line(self) -> str | None:
        """The next line without its end; None when there are no more, or the person quits."""


class Pipe(LineSource):
    """Reads standard input line by line, and shows each line, so that the output reads as a conversation."""

    def __init__(self, screen: Screen) -> None:
        """Starts to read."""
        self._screen = screen
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(MAX_QUEUED_LINES)
        self._loop = asyncio.get_running_loop()
        # A daemon thread, not the loop's executor: a read from a silent pipe cannot be cancelled, and would
        # keep the program from exiting. It reads the file descriptor, as Python locks sys.stdin for a read.
        threading.Thread(target=self._read, name="standard input", daemon=True).start()
        self._ended = False

    @override
    async def next_line(self) -> str | None:
        line = None if self._ended else await self._queue.get()
        self._ended = line is None
        if line is not None:
            self._screen.line(f"{PROMPT}{line}")
        return line

    def _read(self) -> None:
        rest = b""
        while (chunk := os.read(STDIN_FD, 65_536)) and len(rest) <= MAX_LINE_BYTES:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not self._enqueue(line):
                    return
        if rest:
            self._enqueue(rest)
        self._enqueue(None)

    def _enqueue(self, line: bytes | None) -> bool:
        """Waits for space in the queue and puts the line there; False if the program has ended."""
        text = None if line is None else line.decode("utf-8", "replace").rstrip("\r")
        try:
            asyncio.run_coroutine_threadsafe(self._queue.put(text), self._loop).result()
        except (RuntimeError, asyncio.CancelledError):
            return False  # the loop is closed
        return True


def is_interactive() -> bool:
    """Whether a person sits at a terminal: both standard input and output are one."""
    return sys.stdin.isatty() and sys.stdout.isatty()
