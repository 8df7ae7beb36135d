"""Ports for processes that need one before they start."""

from __future__ import annotations

import asyncio
import socket


def free_port() -> int:
    """A port on which nobody listens, for a process to be started. Servers inside the test bind port 0.

    A socket that never listens is bound to it until the tests end: so the system gives it to nobody else, and
    servers, which set SO_REUSEADDR, can listen there again and again.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Workers that share a port set this one instead.
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind(("127.0.0.1", 0))
    port: int = reservation.getsockname()[1]
    reservation.detach()
    return port


async def refuses(port: int) -> bool:
    """Whether nobody listens on the port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
