"""The model gateway as an application: opens connections, discovers models, and reports which one answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import (
    ModelAdminServiceServicer,
    add_ModelAdminServiceServicer_to_server,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import (
    ModelGatewayServiceServicer,
    add_ModelGatewayServiceServicer_to_server,
)
from clawdbot_plugin_client.hooks import HookClient
from clawdbot_servicekit.application import Application, Dependency
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.process_locks import ProcessLocks
from prometheus_client import CollectorRegistry
from typing_extensions import override

from clawdbot_model_gateway.backend_config import BackendPlan, default_aliases
from clawdbot_model_gateway.core.alias_overrides import AliasOverrideStore
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.model_admin import ModelAdmin
from clawdbot_model_gateway.core.reply_cache.cached_replies import CachedReplies
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.router import Router
from clawdbot_model_gateway.core.routing import CHAT_ALIAS, RoutingTable
from clawdbot_model_gateway.core.token_counts import TokenCounts
from clawdbot_model_gateway.failure_wiring import FailureMetrics
from clawdbot_model_gateway.metrics import BackendMetrics
from clawdbot_model_gateway.stores.file.slot_table import SlotTable
from clawdbot_model_gateway.tokenizer_files import load_tokenizer


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of the service, as wiring.py builds them."""

    plan: BackendPlan
    backends: dict[str, Backend]
    router: Router
    admin: ModelAdmin
    token_counts: TokenCounts
    override_store: AliasOverrideStore
    slot_locks: ProcessLocks
    """Held while there are slot_tables."""
    slot_tables: Sequence[SlotTable]
    replies: CachedReplies | None
    cache_metrics: CacheMetrics
    failure_metrics: FailureMetrics
    hooks: HookClient
    plugins: Dependency
    gateway_servicer: ModelGatewayServiceServicer
    admin_servicer: ModelAdminServiceServicer


class GatewayApplication(Application):
    """The model gateway, built and not yet started."""

    def __init__(self, components: Components, errors: ErrorTable) -> None:
        super().__init__(
            "model_gateway",
            errors,
            {
                "clawdbot.model_gateway.v1.ModelGatewayService": (
                    add_ModelGatewayServiceServicer_to_server,
                    components.gateway_servicer,
                ),
                "clawdbot.model_gateway.v1.ModelAdminService": (
                    add_ModelAdminServiceServicer_to_server,
                    components.admin_servicer,
                ),
            },
        )
        self._components = components
        self._reason = components.plan.reason
        self._unlisted: Mapping[str, str] = {}
        """Backend → why it did not list its models."""
        self._log = structlog.get_logger(__name__)

    @override
    def add_metrics(self, registry: CollectorRegistry) -> Callable[[], None]:
        metrics = BackendMetrics(registry)
        for each in (
            *self._components.cache_metrics.collectors,
            *self._components.failure_metrics.collectors,
        ):
            registry.register(each)
        backends = self._components.backends
        for backend in backends.values():
            backend.scheduler.observer = metrics.observer(backend.name)
        return lambda: metrics.sample(backends.values())

    @override
    def describe(self) -> dict[str, tuple[str, ...]]:
        """For the banner: under "models" which model answers and why, and which backends list no models."""
        components = self._components
        targets = components.router.table.aliases.get(CHAT_ALIAS, ())
        endpoints = dict.fromkeys(components.backends[each.backend].provider.endpoint for each in targets)
        at = "".join(f" at {each}" for each in endpoints if each)
        overridden = targets != components.router.configured.aliases.get(CHAT_ALIAS)
        reason = "switched at runtime" if overridden else self._reason
        return {
            "models": (
                f"{CHAT_ALIAS} is {components.admin.describe_alias(CHAT_ALIAS)}{at} ({reason})",
                *(f"{name} does not list its models: {why}" for name, why in self._unlisted_configured()),
            ),
            **super().describe(),
        }

    @override
    async def start(self) -> None:
        """A backend that is down does not keep the gateway from starting."""
        components = self._components
        components.override_store.open()
        if components.slot_tables:
            components.slot_locks.open()
        for table in components.slot_tables:
            table.open()
        if components.replies is not None:
            await components.replies.start()
        for name, backend in components.backends.items():
            await backend.provider.start()
            file = components.plan.backends[name].tokenizer
            if file is not None:
                path = f"{components.plan.config_paths[name]}.tokenizer"
                backend.tokenizer = await asyncio.to_thread(load_tokenizer, file, path)
        await components.hooks.start()
        models = {
            name: frozenset(each.name for each in backend.models if backend.models_are_configured)
            for name, backend in components.backends.items()
        }
        components.router.configure(RoutingTable(models, components.plan.aliases))
        self._unlisted = await components.router.refresh(components.backends.values())
        if not components.plan.aliases:
            await self._choose_default()
        self._log.info("models_found", chat=components.admin.describe_alias(CHAT_ALIAS), reason=self._reason)

    @property
    @override
    def dependencies(self) -> Sequence[Dependency]:
        """Not the models: callers of a model that is down get an error of their own."""
        components = self._components
        return Dependency("alias_overrides", components.override_store.check), components.plugins

    @override
    async def stop(self) -> None:
        self._components.token_counts.close()
        await self._components.hooks.stop()
        await asyncio.gather(*(backend.provider.stop() for backend in self._components.backends.values()))
        self._components.override_store.close()
        for table in self._components.slot_tables:
            table.close()
        self._components.slot_locks.close()
        if self._components.replies is not None:
            await self._components.replies.stop()

    async def _choose_default(self) -> None:
        """Sets the aliases where nothing is configured, and removes the candidates that did not answer."""
        components = self._components
        listed = {name: len(backend.models) for name, backend in components.backends.items()}
        aliases, self._reason = default_aliases(components.plan, self._unlisted, listed)
        configured = components.router.configured
        chosen = {target.backend for targets in aliases.values() for target in targets}
        for name in self._unlisted.keys() - chosen:
            await components.backends.pop(name).provider.stop()
        models = {name: configured.backends[name] for name in components.backends}
        components.router.configure(RoutingTable(models, aliases))

    def _unlisted_configured(self) -> list[tuple[str, str]]:
        """The backends of aliases that did not list their models; not the candidates of discovery."""
        in_use = {
            target.backend
            for targets in self._components.router.configured.aliases.values()
            for target in targets
        }
        return [(name, reason) for name, reason in self._unlisted.items() if name in in_use]
