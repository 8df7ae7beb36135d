"""The dialogue service as an application: store, hooks, engine, from start to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import grpc.aio
import structlog
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import (
    DialogueServiceServicer,
    add_DialogueServiceServicer_to_server,
)
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceServicer, add_FlowServiceServicer_to_server
from clawdbot_plugin_client.hooks import Hooks
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import NotReady

from clawdbot_dialogue.core.errors import StoreUnavailable
from clawdbot_dialogue.core.flow.flow_registry import FlowLibrary
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.ports import Owners

SERVICES: Final = ("clawdbot.dialogue.v1.DialogueService", "clawdbot.dialogue.v1.FlowService")


class LivingOwners(Owners, Protocol):
    """Owners of which one is this process."""

    def open(self) -> None:
        """Says that this engine lives. MUST raise StartupError for what an operator can mend."""

    def close(self) -> None:
        """Says that it does no longer. MUST be safe twice."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of; wiring makes them."""

    store: SessionStore
    owners: LivingOwners
    flows: FlowLibrary
    deployments: Deployments
    hooks: Hooks
    engine: TurnEngine
    dialogue_servicer: DialogueServiceServicer
    flow_servicer: FlowServiceServicer


class DialogueApplication:
    """The dialogue service, built and not yet started."""

    def __init__(self, parts: Parts, errors: ErrorTable) -> None:
        self._parts = parts
        self._errors = errors
        self._log = structlog.get_logger(__name__)

    @property
    def name(self) -> str:
        """As the port says."""
        return "dialogue"

    @property
    def services(self) -> tuple[str, ...]:
        """As the port says."""
        return SERVICES

    @property
    def errors(self) -> ErrorTable:
        """As the port says."""
        return self._errors

    def register(self, server: grpc.aio.Server) -> None:
        """As the port says."""
        add_DialogueServiceServicer_to_server(self._parts.dialogue_servicer, server)
        add_FlowServiceServicer_to_server(self._parts.flow_servicer, server)

    def describe(self) -> dict[str, tuple[str, ...]]:
        """What there is, for a banner: where sessions are kept, and the names of the flows."""
        return {
            "store": (self._parts.store.description,),
            "flows": tuple(flow.name for flow in self._parts.flows.list()),
        }

    async def start(self) -> None:
        """As the port says. Turns that a dead process left are taken up at once."""
        await self._parts.store.open()
        await self._parts.deployments.start()
        self._parts.owners.open()
        await self._parts.hooks.start()
        await self._parts.engine.start()
        self._log.info("dialogue_started", store=self._parts.store.description)

    async def check(self) -> None:
        """As the port says. Not without hooks: a gate must not be missed. The gateway is not asked for."""
        self._parts.engine.check()
        try:
            await self._parts.store.check()
        except StoreUnavailable as error:
            raise NotReady("the session store", error.explanation) from error
        await self._parts.hooks.check()

    async def stop(self) -> None:
        """As the port says."""
        await self._parts.engine.stop()
        await self._parts.hooks.stop()
        await self._parts.store.close()
        self._parts.owners.close()
