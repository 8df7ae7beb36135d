"""Writes to the standard input of child processes."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def feed(child: asyncio.subprocess.Process, data: bytes) -> None:
    """Writes data. One that has ended does not take it; its output and its exit code say why."""
    if child.stdin is None:
        raise RuntimeError("the process was started without a pipe for its input")
    if child.stdin.is_closing():
        return  # uvloop would raise RuntimeError, where asyncio raises ConnectionError
    with suppress(ConnectionError):
        child.stdin.write(data)
        await child.stdin.drain()
