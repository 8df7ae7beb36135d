"""Real Clawdbot processes: started, awaited until SERVING, killed; their log is shown when a test fails."""

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

from tests.support.ports import free_port

START_LIMIT = 30.0
"""Seconds that a process may take to be SERVING on a busy machine."""


class ServiceProcess:
    """One running process and what it said."""

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

    async def serving(self) -> None:
        """Waits until health says SERVING; raises with the log when the process ends or time is up."""
        try:
            async with asyncio.timeout(START_LIMIT):
                while not await self._answers():
                    if not self.running:
                        raise AssertionError(
                            f"ended with {self._process.returncode}:\n{self.log.read_text()}"
                        )
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not SERVING after {START_LIMIT} s:\n{self.log.read_text()}") from None

    async def _answers(self) -> bool:
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM and the exit code."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()


@asynccontextmanager
async def process(
    *command: str, state: Path, environment: Mapping[str, str] | None = None, port: int | None = None
) -> AsyncIterator[ServiceProcess]:
    """Runs `python -m command…` with its own state directory, and ends it on the way out."""
    chosen = port or free_port()
    state.mkdir(parents=True, exist_ok=True)
    log = state / f"{command[0]}-{chosen}.log"
    settings = {
        "CLAWDBOT_SERVER__PORT": str(chosen),
        "CLAWDBOT_STATE_DIR": str(state),
        "CLAWDBOT_TELEMETRY__METRICS_PORT": "0",
        **(environment or {}),
    }
    # The embedded default looks for a model; a developer's keys must not decide what a test talks to.
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    with log.open("ab") as sink:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, env={**inherited, **settings}, stdout=sink, stderr=sink
        )
    running = ServiceProcess(child, chosen, log)
    try:
        await running.serving()
        yield running
    finally:
        if running.running:
            try:
                async with asyncio.timeout(15):
                    await running.stop()
            except TimeoutError:
                await running.kill()
