"""The dialogue service as a host runs it: starts and stops its parts in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import (
    DialogueServiceServicer,
    add_DialogueServiceServicer_to_server,
)
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceServicer, add_FlowServiceServicer_to_server
from clawdbot_plugin_client.hooks import HookClient
from clawdbot_servicekit.application import Application, Dependency
from clawdbot_servicekit.error_table import ErrorTable
from typing_extensions import override

from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.engine import TurnEngine


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of the service, as wiring.build makes them."""

    store: SessionStore
    lease_owners: LeaseOwners
    flows: FlowRegistry
    deployments: Deployments
    hooks: HookClient
    peers: Sequence[Dependency]
    engine: TurnEngine
    dialogue_servicer: DialogueServiceServicer
    flow_servicer: FlowServiceServicer


class DialogueApplication(Application):
    """The dialogue service, built and not yet started."""

    def __init__(self, components: Components, errors: ErrorTable) -> None:
        super().__init__(
            "dialogue",
            errors,
            {
                "clawdbot.dialogue.v1.DialogueService": (
                    add_DialogueServiceServicer_to_server,
                    components.dialogue_servicer,
                ),
                "clawdbot.dialogue.v1.FlowService": (
                    add_FlowServiceServicer_to_server,
                    components.flow_servicer,
                ),
            },
        )
        self._components = components
        self._log = structlog.get_logger(__name__)

    @override
    def describe(self) -> dict[str, tuple[str, ...]]:
        """Returns what a banner shows: where sessions are kept, and the names of the flows."""
        return {
            "store": (self._components.store.description,),
            "flows": tuple(flow.name for flow in self._components.flows.list()),
            **super().describe(),
        }

    @override
    async def start(self) -> None:
        """Also starts to recover turns that a dead process left unfinished."""
        await self._components.store.open()
        await self._components.deployments.start()
        self._components.lease_owners.open()
        await self._components.hooks.start()
        await self._components.engine.start()
        self._log.info("dialogue_started", store=self._components.store.description)

    @property
    @override
    def dependencies(self) -> Sequence[Dependency]:
        components = self._components
        return (
            Dependency("turn_engine", components.engine.check),
            Dependency("session_store", components.store.check),
            *components.peers,
        )

    @override
    async def stop(self) -> None:
        await self._components.engine.stop()
        await self._components.hooks.stop()
        await self._components.deployments.stop()
        await self._components.store.close()
        self._components.lease_owners.close()
