"""Flows that were deployed: read from the store that all workers share, before anything that must see them.

One indexed read that finds nothing is what that costs; a flow is compiled once per process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from clawdbot_servicekit.errors import StartupError

from clawdbot_dialogue.core.errors import FlowExists
from clawdbot_dialogue.core.flow.flow_registry import FlowLibrary, FlowNotFound, FlowVersionExists
from clawdbot_dialogue.core.flow.loader import examine
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.sessions.records import DeployedFlow
from clawdbot_dialogue.core.sessions.store import SessionStore

_log = structlog.get_logger(__name__)


class Deployments:
    """Keeps a library abreast of what was deployed, by whichever process."""

    def __init__(self, store: SessionStore, library: FlowLibrary, clock: Callable[[], float]) -> None:
        self._store = store
        self._library = library
        self._clock = clock
        self._seen = 0
        self._times: dict[tuple[str, int], float] = {}

    async def start(self) -> None:
        """Loads all of them.

        Raises:
            StartupError: a flow's file and what was deployed in its version differ.
        """
        for clash in await self._read():
            raise StartupError(
                f"Version {clash.version} of the flow {clash.name} was deployed with another source than its "
                "file has: give the file another version, or take it away."
            )

    async def refresh(self) -> None:
        """Takes in what was deployed since; a version that is here with another source stays as it is."""
        for clash in await self._read():
            _log.error("deployed_flow_clashes", flow=clash.name, version=clash.version)

    async def deploy(self, flow: Flow) -> float:
        """Makes a version live for new sessions, everywhere; returns when that was done, in epoch seconds.

        The same source again changes nothing.

        Raises:
            FlowExists: the version is there with another source.
        """
        await self.refresh()
        try:
            before = self._library.get(flow.name, flow.version)
        except FlowNotFound:
            pass
        else:
            if before.source != flow.source:
                raise FlowExists(flow.name, flow.version)
        kept = await self._store.deploy_flow(flow.name, flow.version, flow.source, self._clock())
        await self.refresh()
        return kept.deploy_time

    def time_of(self, flow: Flow) -> float | None:
        """When a flow was deployed, in epoch seconds; None for one from a file."""
        return self._times.get((flow.name, flow.version))

    async def _read(self) -> list[DeployedFlow]:
        """Takes in what is new; returns what clashes with the library."""
        clashes = []
        for kept in await self._store.deployed_flows(self._seen):
            # Compiling takes milliseconds: not on the loop.
            found = await asyncio.to_thread(examine, kept.source, f"{kept.name}.yaml")
            if found.flow is None:
                # Another version of the program took it; its sessions wait for that one.
                _log.error("deployed_flow_unusable", flow=kept.name, version=kept.version)
            else:
                try:
                    self._library.add(found.flow)
                except FlowVersionExists:
                    clashes.append(kept)
                else:
                    self._times[kept.name, kept.version] = kept.deploy_time
            self._seen = max(self._seen, kept.number)
        return clashes
