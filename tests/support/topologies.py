"""The suite in its two topologies: one process with all three services, or three processes over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import process


@dataclass(frozen=True)
class Topology:
    """The address of each service."""

    dialogue: str
    model_gateway: str
    plugins: str


@asynccontextmanager
async def one_process(state: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[Topology]:
    """Runs `clawdbot up` and waits until it is SERVING."""
    async with process("clawdbot_cli", "up", state=state, environment=environment) as suite:
        yield Topology(suite.address, suite.address, suite.address)


@asynccontextmanager
async def three_processes(
    state: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Topology]:
    """Runs `python -m clawdbot_…` three times; the dialogue service starts last, as it needs the others."""
    variables = dict(environment or {})
    async with process("clawdbot_plugins", state=state / "plugins", environment=variables) as plugins:
        variables["CLAWDBOT_PEERS__PLUGINS"] = plugins.address
        async with process(
            "clawdbot_model_gateway", state=state / "gateway", environment=variables
        ) as gateway:
            variables["CLAWDBOT_PEERS__MODEL_GATEWAY"] = gateway.address
            async with process(
                "clawdbot_dialogue", state=state / "dialogue", environment=variables
            ) as dialogue:
                yield Topology(dialogue.address, gateway.address, plugins.address)
