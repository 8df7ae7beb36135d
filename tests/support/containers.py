"""Runs the images that `make test-image` has built as production does: read-only, without capabilities."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.support.foreign import run
from tests.support.ports import free_port

START_TIMEOUT = 60.0
"""Seconds for a container to be SERVING on a busy machine."""

HARDENED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "host"),
)


def engine() -> str:
    """What `make test-image` found, podman or docker. Skips the test if it was not started by it."""
    if "CONTAINER_ENGINE" not in os.environ:
        pytest.skip("`make test-image` builds the images and runs this test")
    return os.environ["CONTAINER_ENGINE"]


def image(service: str) -> str:
    """The name of a service's image."""
    return f"localhost/clawdbot/{service}:{os.environ['IMAGE_TAG']}"


def inspect(service: str) -> dict[str, Any]:
    """The configuration of a service's image."""
    command = [engine(), "image", "inspect", image(service)]
    (found,) = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    config: dict[str, Any] = found["Config"]
    return config


def in_image(service: str, script: str) -> Any:
    """What a Python script prints as JSON in a container of the image."""
    command = [engine(), "run", "--rm", *HARDENED, "--entrypoint", "python", image(service), "-c", script]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@contextmanager
def volume() -> Iterator[str]:
    """A new named volume."""
    name = f"clawdbot-test-{uuid4().hex}"
    subprocess.run([engine(), "volume", "create", name], check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run([engine(), "volume", "rm", "--force", name], check=True, capture_output=True)


class Container:
    """One running container."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.address = f"127.0.0.1:{port}"

    async def probe(self, service: str = "readiness") -> int:
        """The exit code of the image's own health probe."""
        module = ("python", "-m", "clawdbot_servicekit.health_probe")
        code, _, _ = await run(engine(), "exec", self.name, *module, self.address, service)
        return code

    async def log(self) -> str:
        _, output, errors = await run(engine(), "logs", self.name)
        return output + errors

    async def wait_until_serving(self) -> None:
        """Fails with the log if the container is not SERVING in time."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while await self.probe() != 0:
                    if not await self._is_running():
                        raise AssertionError(f"ended:\n{await self.log()}")
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not SERVING after {START_TIMEOUT} s:\n{await self.log()}") from None

    async def _is_running(self) -> bool:
        _, output, _ = await run(engine(), "inspect", "--format", "{{.State.Running}}", self.name)
        return output.strip() == "true"

    async def stop(self) -> int:
        """Has the engine send the image's stop signal; the exit code."""
        await run(engine(), "stop", "-t", "40", self.name)
        code, output, errors = await run(engine(), "wait", self.name)
        assert code == 0, errors
        return int(output)


@asynccontextmanager
async def container(
    service: str, state: str, environment: Mapping[str, str] | None = None, port: int | None = None
) -> AsyncIterator[Container]:
    """Runs the service with a volume for its state until the block ends."""
    running = Container(f"clawdbot-test-{uuid4().hex}", port or free_port())
    settings = {
        "CLAWDBOT_SERVER__PORT": str(running.port),
        "CLAWDBOT_SERVER__HOST": "127.0.0.1",
        "CLAWDBOT_TELEMETRY__METRICS_PORT": "0",
        **(environment or {}),
    }
    arguments = [each for name, value in settings.items() for each in ("--env", f"{name}={value}")]
    mount = ("--volume", f"{state}:/var/lib/clawdbot")
    command = (engine(), "run", "--detach", "--name", running.name, *HARDENED, *mount, *arguments)
    code, _, errors = await run(*command, image(service))
    assert code == 0, errors
    try:
        await running.wait_until_serving()
        yield running
    finally:
        await run(engine(), "rm", "--force", running.name)
