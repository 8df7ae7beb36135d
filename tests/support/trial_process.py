"""The trial service as a real process, with its log."""

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

from tests.support.conditions import until
from tests.support.ports import free_port


class TrialProcess:
    """A running process and its log."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self.port = port
        self._log_file = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        """Everything written to stderr so far."""
        return self._log_file.read_text()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """The exit code; fails with the log if the process does not end."""
        try:
            async with asyncio.timeout(45):
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"does not end:\n{self.log()}") from None

    def channel(self) -> grpc.aio.Channel:
        """A new connection: with workers, each may reach another one."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200))
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options)

    async def serving(self) -> None:
        """Returns when a probe gets SERVING."""
        request = health_pb2.HealthCheckRequest()
        async with asyncio.timeout(45):
            while self._process.returncode is None:
                async with self.channel() as channel:
                    try:
                        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=1)
                    except grpc.aio.AioRpcError:
                        await asyncio.sleep(0.02)
                        continue
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                await asyncio.sleep(0.02)
        raise AssertionError(f"ended with {self._process.returncode}:\n{self.log()}")

    async def serving_pid(self) -> int:
        """The process that answers a call on a new connection."""
        async with self.channel() as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            answer = await stub.ListTools(
                tool_service_pb2.ListToolsRequest(), timeout=10, wait_for_ready=True
            )
            return int(answer.tools[0].spec.name)

    async def logged(self, text: str) -> None:
        """Returns when the log contains the text."""
        try:
            await until(lambda: text in self.log())
        except TimeoutError:
            raise AssertionError(f"never logged {text!r}:\n{self.log()}") from None


@asynccontextmanager
async def trial_process(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[TrialProcess]:
    """Starts the process; kills it on exit if it still runs."""
    port = int(environment.get("CLAWDBOT_SERVER__PORT") or free_port())
    settings = {
        "CLAWDBOT_SERVER__PORT": str(port),
        "CLAWDBOT_STATE_DIR": str(folder / "state"),
        "CLAWDBOT_TELEMETRY__METRICS_PORT": "null",
        **environment,
    }
    log = folder / "log"
    with log.open("wb") as sink:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.trial_service", *arguments),
            env={**os.environ, **settings},
            stderr=sink,
        )
    try:
        yield TrialProcess(child, port, log)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
