"""The control channel between a worker process and its supervisor.

The worker says when it serves and that it is alive, or why it cannot start. The supervisor says when all
workers serve, when to reload and when to stop. A closed channel means stop: workers do not outlive their
supervisor.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Final

VARIABLE: Final = "_CLAWDBOT_WORKER"
"""Set in a worker's environment. Internal, so its name does not start like a setting's."""

READY: Final = "ready"
HEARTBEAT: Final = "heartbeat"
START_FAILED: Final = "start_failed"
ALL_READY: Final = "all_ready"
DRAIN: Final = "drain"
STOP_NOW: Final = "stop_now"
RELOAD: Final = "reload"

HEARTBEAT_INTERVAL: Final = 1.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker learns from its environment."""

    index: int
    """0 for the first worker, which also does what only one process may do."""
    descriptor: int
    """File descriptor of its end of the control channel."""
    port: int
    """The shared TCP port."""
    configuration: int
    """File descriptor of the memory with the configuration that all run on."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> WorkerContext | None:
        """The context in the environment; None for a process that is not a worker."""
        text = environ.get(VARIABLE)
        return cls(*json.loads(text)) if text else None

    def to_environ(self) -> dict[str, str]:
        """What to add to the worker's environment."""
        return {VARIABLE: json.dumps([*astuple(self)])}


class ControlChannel:
    """One end of the channel: short JSON messages, one per line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def from_socket(cls, end: socket.socket) -> ControlChannel:
        """The channel over a connected socket; it owns the socket from now on."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, kind: str, text: str = "") -> None:
        """Sends a message; does nothing once the other side is gone."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps([kind, text]).encode() + b"\n")

    async def receive(self) -> tuple[str, str] | None:
        """The next message; None when the other side is gone."""
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        kind, text = json.loads(line)
        return str(kind), str(text)

    async def close(self) -> None:
        """Flushes and closes."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the other side closed first
