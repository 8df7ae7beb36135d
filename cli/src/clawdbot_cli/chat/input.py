"""Where the words come from when nobody sits at a terminal; the person's prompt has a room of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Final, Protocol

from clawdbot_cli.chat.screen import MARK, Screen

STDIN: Final = 0
LONGEST_LINE: Final = 1_000_000
"""Bytes of one line from a pipe; the services take less."""
AHEAD: Final = 64
"""Lines read from a pipe before they are wanted."""


class Lines(Protocol):
    """A source of lines."""

    async def next(self) -> str | None:
        """The next line without its end; None when there are no more, or the person wants to leave."""


class Pipe:
    """Reads standard input line by line, and shows each line: the output reads as a conversation."""

    def __init__(self, screen: Screen) -> None:
        """Begins to read."""
        self._screen = screen
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(AHEAD)
        self._loop = asyncio.get_running_loop()
        # A daemon, and not the loop's executor: a read from a silent pipe cannot be cancelled, and would hold
        # up the end of the program. It reads the descriptor itself, as Python locks sys.stdin while it reads.
        threading.Thread(target=self._read, name="standard input", daemon=True).start()
        self._ended = False

    async def next(self) -> str | None:
        """As the port says."""
        line = None if self._ended else await self._queue.get()
        self._ended = line is None
        if line is not None:
            self._screen.line(f"{MARK}{line}")
        return line

    def _read(self) -> None:
        rest = b""
        while (piece := os.read(STDIN, 65_536)) and len(rest) <= LONGEST_LINE:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if not self._give(line):
                    return
        if rest:
            self._give(rest)
        self._give(None)

    def _give(self, line: bytes | None) -> bool:
        """Puts a line into the queue, waiting for room; whether the program still wants any."""
        text = None if line is None else line.decode("utf-8", "replace").rstrip("\r")
        try:
            asyncio.run_coroutine_threadsafe(self._queue.put(text), self._loop).result()
        except (RuntimeError, asyncio.CancelledError):
            return False  # the loop is closed: the program has ended
        return True


def is_person() -> bool:
    """Whether somebody sits at a terminal on both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()
