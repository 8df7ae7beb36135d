"""Gateways of others that speak Chat Completions over HTTP, each from its registry in a folder of its own.

Installed on the first run. Where one cannot be installed or does not start, its bench is skipped with the
reason.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from tests.bench.gateway_setup import PROMPT
from tests.bench.harness import SERVER_CPU, Skipped, bind
from tests.support.ports import free_port

ENVIRONMENTS = Path("build") / "peers"
START_TIMEOUT = 180.0
"""Seconds. LiteLLM takes more than ninety on a very busy core."""
KEY = "sk-5e5b3f0f2f1c4f0c9d6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a"
"""Made up: LiteLLM refuses to start without one that looks random."""
BODY = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": PROMPT}]})


@dataclass(frozen=True, slots=True)
class HttpGateway:
    """One peer: where it comes from, and how it is started and called."""

    name: str
    package: str
    """With its version."""
    start: Callable[[Path, str, int], Sequence[str | Path]]
    """Folder, URL of the backend and port → command."""
    node: bool = False
    """Whether it comes from npm instead of PyPI."""
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Callable[[str], Mapping[str, str]] = lambda _: {}
    """URL of the backend → headers of each request."""

    def install(self) -> Path:
        """The folder that it is installed in.

        Raises:
            Skipped: it cannot be had on this machine.
        """
        folder = (ENVIRONMENTS / self.name).resolve()
        installed = folder / "installed.txt"
        if installed.exists() and installed.read_text() == self.package:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        uv = [sys.executable, "-m", "uv"]
        commands = (
            [["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, self.package]]
            if self.node
            else [
                [*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"],
                [
                    *uv,
                    "pip",
                    "install",
                    "--quiet",
                    "--python",
                    folder / "venv" / "bin" / "python",
                    self.package,
                ],
            ]
        )
        try:
            for command in commands:
                subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Skipped(f"{self.package} could not be installed: {error}") from error
        installed.write_text(self.package)
        return folder

    @asynccontextmanager
    async def serve(self, url: str) -> AsyncIterator[Callable[[], object]]:
        """Runs it on the server's CPU and yields a function that makes one request.

        Args:
            url: of the mock backend.

        Raises:
            Skipped: it cannot be had on this machine, or does not answer.
        """
        folder, port = self.install(), free_port()
        with (folder / "log.txt").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *self.start(folder, url, port), stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
            # At once: threads that it makes later are bound as the first one is.
            bind(child.pid, SERVER_CPU)
            try:
                headers = {"content-type": "application/json", **self.headers(url)}
                connector = aiohttp.TCPConnector(limit=0)
                async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

                    async def call() -> None:
                        address = f"http://127.0.0.1:{port}/v1/chat/completions"
                        async with session.post(address, data=BODY) as response:
                            reply = orjson.loads(await response.read())
                        if "choices" not in reply:
                            raise AssertionError(f"{self.name} answered {response.status}: {reply}")

                    await self._wait_until_answering(call, child, folder)
                    yield call
            finally:
                if child.returncode is None:
                    child.terminate()
                await child.wait()

    async def _wait_until_answering(self, call, child: asyncio.subprocess.Process, folder: Path) -> None:
        error: Exception = TimeoutError()
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while child.returncode is None:
                    try:
                        return await call()
                    except (aiohttp.ClientError, AssertionError, ValueError) as each:
                        error = each
                    await asyncio.sleep(0.5)
        except TimeoutError:
            pass
        raise Skipped(f"{self.package} does not answer: {error}; its log: {folder / 'log.txt'}")


def _litellm(folder: Path, url: str, port: int) -> Sequence[str | Path]:
    parameters = {"model": "openai/mock", "api_base": f"{url}/v1", "api_key": "none-is-looked-at"}
    config = folder / "config.yaml"
    config.write_bytes(orjson.dumps({"model_list": [{"model_name": "mock", "litellm_params": parameters}]}))
    litellm = folder / "venv" / "bin" / "litellm"
    return [litellm, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]


def _portkey(folder: Path, url: str, port: int) -> Sequence[str | Path]:
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    return ["node", script, f"--port={port}", "--headless"]


def _sglang(folder: Path, url: str, port: int) -> Sequence[str | Path]:
    python = folder / "venv" / "bin" / "python"
    command = [python, "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", str(port)]
    return [
        *command,
        "--prometheus-port",
        str(free_port()),
        "--policy",
        "round_robin",
        "--worker-urls",
        url,
        "--log-level",
        "error",
    ]


HTTP_GATEWAYS = {
    each.name: each
    for each in (
        HttpGateway(
            name="litellm",
            package="litellm[proxy]==1.108.7",
            start=_litellm,
            # What its documentation advises for production; its table of prices is in the package as well.
            environment={
                "LITELLM_MODE": "PRODUCTION",
                "LITELLM_LOG": "ERROR",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_MASTER_KEY": KEY,
            },
            headers=lambda _: {"authorization": f"Bearer {KEY}"},
        ),
        HttpGateway(
            name="portkey",
            package="@portkey-ai/gateway@1.15.2",
            start=_portkey,
            node=True,
            environment={"NODE_ENV": "production"},
            headers=lambda url: {
                "authorization": "Bearer none-is-looked-at",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": f"{url}/v1",
            },
        ),
        HttpGateway(name="sglang_router", package="sglang-router==0.3.2", start=_sglang),
    )
}
"""Name → peer."""
