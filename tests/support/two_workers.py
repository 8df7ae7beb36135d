"""A gateway of two worker processes, with clients on connections that the system distributes over them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from tests.support.conditions import until
from tests.support.gateway_service import Client
from tests.support.processes import ServiceProcess, process

CONNECTIONS = 24
"""Each goes to one of the two workers; all go to the same one once in eight million runs."""


@dataclass
class TwoWorkers:
    process: ServiceProcess
    clients: list[Client]

    @property
    def pids(self) -> list[int]:
        """The worker processes."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [
            int(each)
            for each in children
            if b"clawdbot_model_gateway" in Path(f"/proc/{each}/cmdline").read_bytes()
        ]

    async def replace_all(self) -> None:
        """Kills each worker, and waits until its successor serves."""
        for pid in self.pids:
            await self._replace(pid)

    async def replace_one(self) -> None:
        """The same with one of them."""
        await self._replace(self.pids[0])

    async def _replace(self, pid: int) -> None:
        serving = self.process.log.read_text().count("worker_serves")
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self.process.log.read_text().count("worker_serves") > serving)


@asynccontextmanager
async def two_workers(
    folder: Path, models: dict[str, Any] | None = None, config: Path | None = None, **more: str
) -> AsyncIterator[TwoWorkers]:
    """Runs them with a section `models`, or with a configuration file, and more variables."""
    async with AsyncExitStack() as stack:
        plugins = await stack.enter_async_context(process("clawdbot_plugins", state=folder / "plugins"))
        settings = {"CLAWDBOT_SERVER__WORKERS": "2", "CLAWDBOT_PEERS__PLUGINS": plugins.address, **more}
        settings |= {"CLAWDBOT_MODELS": json.dumps(models)} if models else {}
        settings |= {"CLAWDBOT_CONFIG": str(config)} if config else {}
        served = await stack.enter_async_context(
            process("clawdbot_model_gateway", state=folder / "gateway", environment=settings)
        )
        # The first worker is SERVING before the second listens.
        await until(lambda: served.log.read_text().count("listening") >= 2)
        clients = []
        for _ in range(CONNECTIONS):
            channel = grpc.aio.insecure_channel(served.address, (("grpc.use_local_subchannel_pool", 1),))
            clients.append(Client(await stack.enter_async_context(channel)))
        yield TwoWorkers(served, clients)
