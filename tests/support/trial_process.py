"""Runs the trial service as a process that a test calls and signals, and whose log it reads."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.ports import free_port


class TrialProcess:
    """A running process and its log."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self.port = port
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        """Everything written to stderr so far."""
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def exit_code(self) -> int:
        """Waits for the end; the exit code. Fails with the log if the process does not end."""
        try:
            async with asyncio.timeout(20):
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"did not end in time:\n{self.log()}") from None

    def channel(self) -> grpc.aio.Channel:
        """A new connection; with several workers, each connection may reach another one."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200))
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options)

    async def wait_until_serving(self) -> None:
        """Waits until the health check reports SERVING."""
        request = health_pb2.HealthCheckRequest()
        async with asyncio.timeout(20):
            while self._process.returncode is None:
                async with self.channel() as channel:
                    try:
                        response = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=1)
                    except grpc.aio.AioRpcError:
                        await asyncio.sleep(0.02)
                        continue
                    if response.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                await asyncio.sleep(0.02)
        raise AssertionError(f"ended with {self._process.returncode}:\n{self.log()}")

    async def who(self) -> int:
        """The id of the process that answers a call on a new connection."""
        async with self.channel() as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            response = await stub.ListTools(
                tool_service_pb2.ListToolsRequest(), timeout=10, wait_for_ready=True
            )
            return int(response.tools[0].spec.name)

    async def wait_for_log(self, text: str) -> None:
        """Waits until the log contains the text."""
        try:
            async with asyncio.timeout(20):
                while text not in self.log():  # noqa: ASYNC110 - another process cannot set an event
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"did not log {text!r} in time:\n{self.log()}") from None


@asynccontextmanager
async def trial_process(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[TrialProcess]:
    """Runs the process until the block ends, and kills it if it is still running."""
    port = int(environment.get("CLAWDBOT_SERVER__PORT") or free_port())
    settings = {
        "CLAWDBOT_SERVER__PORT": str(port),
        "CLAWDBOT_STATE_DIR": str(folder / "state"),
        "CLAWDBOT_TELEMETRY__METRICS_PORT": "null",
        **environment,
    }
    log = folder / "log"
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.trial_service", *arguments),
            env={**os.environ, **settings},
            stderr=stderr,
        )
    try:
        yield TrialProcess(child, port, log)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
