"""Ports for processes that need one before they start."""

from __future__ import annotations

import asyncio
import socket


def free_port() -> int:
    """A port that was free a moment ago. Servers inside the test bind port 0 instead."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def refuses(port: int) -> bool:
    """Whether nobody listens on the port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
