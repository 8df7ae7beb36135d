"""A worker's place under its supervisor: who it is, and the line between the two.

The worker says when it serves and that it lives, or why it cannot start; the supervisor says when all serve
and when to stop. A line that breaks is an order to stop: workers do not outlive their supervisor.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "_CLAWDBOT_WORKER"
"""Tells a process that it is a worker. Internal, so its name does not begin like a setting's."""

READY: Final = "ready"
BEAT: Final = "beat"
FAILED: Final = "failed"
ALL_READY: Final = "all_ready"
DRAIN: Final = "drain"
CUT: Final = "cut"

BEAT_PERIOD: Final = 1.0
"""Seconds between two signs of life."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker is told through the environment."""

    index: int
    """0 for the first one, which also does what only one may do."""
    descriptor: int
    """Its end of the line to the supervisor."""
    port: int
    """The shared TCP port."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> WorkerContext | None:
        """The seat that the environment gives; None for a process that is nobody's worker."""
        text = environ.get(VARIABLE)
        return cls(*json.loads(text)) if text else None

    def variable(self) -> dict[str, str]:
        """What to add to the worker's environment."""
        return {VARIABLE: json.dumps([self.index, self.descriptor, self.port])}


class ControlChannel:
    """One end of the line: short JSON messages, each on a line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> ControlChannel:
        """The line over a connected socket, which it owns from now on."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end))

    def say(self, word: str, text: str = "") -> None:
        """Sends a message; does nothing once the other side is gone."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps([word, text]).encode() + b"\n")

    async def hear(self) -> tuple[str, str] | None:
        """The next message; None when the other side is gone."""
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        word, text = json.loads(line)
        return str(word), str(text)

    async def close(self) -> None:
        """Sends what is still to be sent, and closes."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the other side was quicker
