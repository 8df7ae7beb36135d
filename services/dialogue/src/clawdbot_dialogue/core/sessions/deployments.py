"""Deployed flows: read from the store that all processes share, before anything that must see them.

A read that finds nothing new costs one indexed query. A flow is compiled once per process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from clawdbot_servicekit.daemon_thread import in_daemon_thread
from clawdbot_servicekit.errors import StartupError

from clawdbot_dialogue.core.errors import FlowExists, UnknownFlow
from clawdbot_dialogue.core.flow.diagnostics import suggest
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound, FlowRegistry, FlowVersionExists
from clawdbot_dialogue.core.flow.loader import compile_flow
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.sessions.records import DeployedFlow
from clawdbot_dialogue.core.sessions.store import SessionStore

_log = structlog.get_logger(__name__)


class Deployments:
    """Keeps a registry of flows up to date with what any process deployed."""

    def __init__(self, store: SessionStore, registry: FlowRegistry, clock: Callable[[], float]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._last_number = 0
        """Of the deployed flows read so far."""
        self._deploy_times: dict[tuple[str, int], float] = {}
        self._loading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads all deployed flows.

        Raises:
            StartupError: a flow's file and the flow deployed in its version have different sources.
        """
        for conflict in await self._read(await self._store.deployed_flows(self._last_number)):
            raise StartupError(
                f"Version {conflict.version} of the flow {conflict.name} is deployed with another source "
                "than its file has: give the file another version, or remove it."
            )

    async def stop(self) -> None:
        """Ends what is being loaded. Safe to call twice, or before `start`."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    async def refresh(self) -> None:
        """Loads what was deployed since. A version that is loaded with another source stays as it is."""
        while await self._store.deployed_flows(self._last_number):
            # Callers that come and go share one task: compiling the same flow again would add up.
            if self._loading is None or self._loading.done():
                self._loading = asyncio.create_task(self._read_new())
            await asyncio.shield(self._loading)

    async def catch_up(self, newest: int) -> None:
        """Loads what was deployed up to the flow with this number; costs nothing if that is loaded."""
        if newest > self._last_number:
            await self.refresh()

    @property
    def newest(self) -> int:
        """Number of the deployed flow that was loaded last; 0 if none was."""
        return self._last_number

    async def find(self, name: str, version: int) -> Flow:
        """Returns a flow that a file or any process brought; its newest version for 0. Raises as `loaded`."""
        await self.refresh()
        return self.loaded(name, version)

    def loaded(self, name: str, version: int) -> Flow:
        """Returns a flow that is loaded; its newest version for 0.

        Raises:
            UnknownFlow: there is no such flow; the error names the nearest one.
        """
        try:
            return self._registry.get(name, version or None)
        except FlowNotFound as error:
            names = [flow.name for flow in self._registry.list()]
            hint = "" if error.name in names else f" {suggest(error.name, names)}"
            raise UnknownFlow(error.flow, hint) from None

    async def deploy(self, name: str, version: int, source: str) -> Flow:
        """Makes a version of a flow live for new sessions in every process, and returns it.

        Deploying the same source again changes nothing.

        Args:
            name: the flow's name.
            version: its version.
            source: has been validated.

        Raises:
            FlowExists: the version is deployed with another source.
        """
        await self.refresh()
        try:
            existing = self._registry.get(name, version)
        except FlowNotFound:
            pass
        else:
            if existing.source != source:
                raise FlowExists(name, version)
        await self._store.deploy_flow(name, version, source, self._clock())
        await self.refresh()
        return self._registry.get(name, version)

    def deploy_time(self, flow: Flow) -> float | None:
        """Returns when a flow was deployed, in epoch seconds; None for a flow from a file."""
        return self._deploy_times.get((flow.name, flow.version))

    async def _read_new(self) -> None:
        for conflict in await self._read(await self._store.deployed_flows(self._last_number)):
            _log.error("deployed_flow_clashes", flow=conflict.name, version=conflict.version)

    async def _read(self, new: Sequence[DeployedFlow]) -> list[DeployedFlow]:
        """Loads deployed flows; returns those that conflict with the registry."""
        conflicts = []
        for deployed in new:
            found = await in_daemon_thread(partial(compile_flow, deployed.source, f"{deployed.name}.yaml"))
            if found.flow is None:
                # Another version of the program accepted it; its sessions wait for that one.
                _log.error("deployed_flow_unusable", flow=deployed.name, version=deployed.version)
            else:
                try:
                    self._registry.add(found.flow)
                except FlowVersionExists:
                    conflicts.append(deployed)
                else:
                    self._deploy_times[deployed.name, deployed.version] = deployed.deploy_time
            self._last_number = max(self._last_number, deployed.number)
        return conflicts
