"""Runs Clawdbot processes, and waits until they are SERVING. Their log is shown when a test fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.conditions import PATIENCE
from tests.support.ports import free_port

START_TIMEOUT = 180.0
"""Seconds for a process to be SERVING on a busy machine."""
PROBE_TIMEOUT = 20.0
"""Seconds for an answer to whether it is; where nobody listens yet, there is one at once."""


class ServiceProcess:
    """One running process and its log."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self.port = port
        self.log = log

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait_until_serving(self, workers: int = 1) -> None:
        """Waits until all workers are SERVING; fails with the log if the process ends first."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not (await self._is_serving() and self._has_workers(workers)):
                    if not self.running:
                        raise AssertionError(
                            f"ended with {self._process.returncode}:\n{self.log.read_text()}"
                        )
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not SERVING after {START_TIMEOUT} s:\n{self.log.read_text()}") from None

    async def _is_serving(self) -> bool:
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT)
            except grpc.aio.AioRpcError:
                return False
            return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    def _has_workers(self, count: int) -> bool:
        """Whether so many have served; one alone has no supervisor, which would log it."""
        return count == 1 or self.log.read_text().count("worker_serves") >= count

    async def kill(self) -> None:
        """Sends SIGKILL, and waits for the end."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """Sends SIGTERM; the exit code."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()


@asynccontextmanager
async def process(
    *command: str,
    state: Path,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
    python: str | Path = sys.executable,
) -> AsyncIterator[ServiceProcess]:
    """Runs `python -m command…` with its own state directory until the block ends."""
    server_port = port or free_port()
    state.mkdir(parents=True, exist_ok=True)
    log = state / f"{command[0]}-{server_port}.log"
    settings = {
        "CLAWDBOT_SERVER__PORT": str(server_port),
        "CLAWDBOT_STATE_DIR": str(state),
        "CLAWDBOT_TELEMETRY__METRICS_PORT": "0",
        **(environment or {}),
    }
    # The default configuration picks a model by the API keys that are set; a test must not use a developer's.
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            python, "-m", *command, env={**inherited, **settings}, stdout=output, stderr=output
        )
    running = ServiceProcess(child, server_port, log)
    try:
        await running.wait_until_serving(int(settings.get("CLAWDBOT_SERVER__WORKERS", 1)))
        yield running
    finally:
        if running.running:
            try:
                async with asyncio.timeout(PATIENCE):
                    await running.stop()
            except TimeoutError:
                await running.kill()
