"""Redis as a process of its own, on a port and in a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from clawdbot_model_gateway.stores.redis import reply_cache

from tests.support.ports import free_port

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """A running server that can be paused and killed."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--daemonize", "no"]
        self.process = self._spawn()

    def start(self) -> None:
        """Starts it again after `kill`, on the same port and empty."""
        self.process = self._spawn()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        give_up_at = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > give_up_at or process.poll() is not None:
                    process.kill()
                    raise
                time.sleep(0.02)
            else:
                return process


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A server, or a skipped test where none is installed.

    Look-ups wait for long: on a busy machine an answer takes more than 4 ms. Facts about time have a
    `silent_server`.
    """
    if PROGRAM is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    server = RedisServer(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reply_cache, "BUDGET", 10.0)
            yield server
    finally:
        server.kill()


@contextmanager
def silent_server() -> Iterator[str]:
    """The URL of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@asynccontextmanager
async def garbage_server(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that greets as Redis does, and gives the same answer to everything else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while command := await reader.read(65536):
                asked = any(each in command for each in (b"MGET", b"EVAL", b"HGETALL", b"\r\nSET\r\n"))
                # As one that knows no HELLO, so that it speaks the older protocol.
                hello = b"-ERR unknown command\r\n" * command.count(b"HELLO")
                writer.write(answer if asked else hello + b"+OK\r\n" * command.count(b"CLIENT"))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
