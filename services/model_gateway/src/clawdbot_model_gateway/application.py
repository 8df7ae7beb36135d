"""The model gateway as an application: opens pools, asks for models, and says which one answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc.aio
import structlog
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import (
    ModelAdminServiceServicer,
    add_ModelAdminServiceServicer_to_server,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import (
    ModelGatewayServiceServicer,
    add_ModelGatewayServiceServicer_to_server,
)
from clawdbot_plugin_client.hooks import Hooks
from clawdbot_servicekit.error_table import ErrorTable

from clawdbot_model_gateway.backend_config import Lineup, found
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.model_admin import Catalogue
from clawdbot_model_gateway.core.model_discovery import Directory
from clawdbot_model_gateway.core.routing import CHAT_ALIAS, Routes, Routing
from clawdbot_model_gateway.core.token_counting import Counting
from clawdbot_model_gateway.stores.file.alias_overrides import FileSwitches
from clawdbot_model_gateway.tokenizer_files import read_tokenizer

SERVICES: Final = (
    "clawdbot.model_gateway.v1.ModelGatewayService",
    "clawdbot.model_gateway.v1.ModelAdminService",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of; wiring makes them."""

    lineup: Lineup
    backends: dict[str, Backend]
    routing: Routing
    directory: Directory
    catalogue: Catalogue
    counting: Counting
    switches: FileSwitches
    hooks: Hooks
    gateway_servicer: ModelGatewayServiceServicer
    admin_servicer: ModelAdminServiceServicer


class GatewayApplication:
    """The model gateway, built and not yet started."""

    def __init__(self, parts: Parts, errors: ErrorTable) -> None:
        self._parts = parts
        self._errors = errors
        self._why = parts.lineup.why
        self._silent: Mapping[str, str] = {}
        self._log = structlog.get_logger(__name__)

    @property
    def name(self) -> str:
        """As the port says."""
        return "model_gateway"

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
        add_ModelGatewayServiceServicer_to_server(self._parts.gateway_servicer, server)
        add_ModelAdminServiceServicer_to_server(self._parts.admin_servicer, server)

    def describe(self) -> dict[str, tuple[str, ...]]:
        """For a banner: under "models" which model answers and why, and which backends do not say."""
        parts = self._parts
        targets = parts.routing.routes.aliases.get(CHAT_ALIAS, ())
        endpoints = dict.fromkeys(parts.backends[each.backend].provider.endpoint for each in targets)
        place = "".join(f" at {each}" for each in endpoints if each)
        switched = targets != parts.routing.configured.aliases.get(CHAT_ALIAS)
        why = "switched while it ran" if switched else self._why
        return {
            "models": (
                f"{CHAT_ALIAS} is {parts.catalogue.described(CHAT_ALIAS)}{place} ({why})",
                *(f"{name} does not list its models: {reason}" for name, reason in self._complaints()),
            )
        }

    async def start(self) -> None:
        """As the port says. A backend that is away does not keep the gateway from starting."""
        parts = self._parts
        parts.switches.open()
        for name, backend in parts.backends.items():
            await backend.provider.start()
            file = parts.lineup.backends[name].tokenizer
            if file is not None:
                place = f"{parts.lineup.places[name]}.tokenizer"
                backend.tokenizer = await asyncio.to_thread(read_tokenizer, file, place)
        await parts.hooks.start()
        known = {
            name: frozenset(each.name for each in backend.models if backend.complete)
            for name, backend in parts.backends.items()
        }
        parts.routing.configure(Routes(known, parts.lineup.aliases))
        self._silent = await parts.directory.ask(parts.backends.values())
        if not parts.lineup.aliases:
            await self._settle()
        self._log.info("models_found", chat=parts.catalogue.described(CHAT_ALIAS), reason=self._why)

    async def check(self) -> None:
        """As the port says. A model that is away is told to those who ask for it."""
        await self._parts.hooks.check()

    async def stop(self) -> None:
        """As the port says."""
        self._parts.counting.close()
        await self._parts.hooks.stop()
        await asyncio.gather(*(backend.provider.stop() for backend in self._parts.backends.values()))
        self._parts.switches.close()

    async def _settle(self) -> None:
        """Takes what was found where nothing is configured; what was looked for in vain is no backend."""
        parts = self._parts
        listed = {name: len(backend.models) for name, backend in parts.backends.items()}
        aliases, self._why = found(parts.lineup, self._silent, listed)
        configured = parts.routing.configured
        chosen = {target.backend for targets in aliases.values() for target in targets}
        for name in self._silent.keys() - chosen:
            await parts.backends.pop(name).provider.stop()
        known = {name: configured.backends[name] for name in parts.backends}
        parts.routing.configure(Routes(known, aliases))

    def _complaints(self) -> list[tuple[str, str]]:
        """Backends that were asked for and do not answer; not those that were only looked for."""
        meant = {
            target.backend
            for targets in self._parts.routing.configured.aliases.values()
            for target in targets
        }
        return [(name, why) for name, why in self._silent.items() if name in meant]
