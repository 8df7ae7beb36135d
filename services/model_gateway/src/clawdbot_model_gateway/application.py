"""The model gateway as an application: opens connections, discovers models, and reports which one answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from prometheus_client.registry import Collector
from typing_extensions import override

from clawdbot_model_gateway.backend_lifecycle import BackendLifecycle
from clawdbot_model_gateway.core.backend_set import BackendSet
from clawdbot_model_gateway.core.drains import DrainStore
from clawdbot_model_gateway.core.limits.accounting import Accounting
from clawdbot_model_gateway.core.machine_load import MachineLoad, WorkerReports
from clawdbot_model_gateway.core.model_admin import ModelAdmin
from clawdbot_model_gateway.core.reply_cache.cached_replies import CachedReplies
from clawdbot_model_gateway.core.routing.alias_overrides import AliasOverrideStore
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import CHAT_ALIAS
from clawdbot_model_gateway.core.tokens.token_counts import TokenCounts
from clawdbot_model_gateway.metrics import BackendMetrics


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of the service, as `wiring` builds them."""

    lifecycle: BackendLifecycle
    backends: BackendSet
    router: Router
    admin: ModelAdmin
    token_counts: TokenCounts
    override_store: AliasOverrideStore
    drains: DrainStore
    load: MachineLoad
    reports: WorkerReports | None
    """None where this worker is the only one."""
    locks: ProcessLocks
    """Held where there are several workers."""
    replies: CachedReplies
    accounting: Accounting
    collectors: Sequence[Collector]
    """More metrics, in no registry yet."""
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
        self._log = structlog.get_logger(__name__)

    @override
    def add_metrics(self, registry: CollectorRegistry) -> Callable[[], None]:
        metrics = BackendMetrics(registry)
        components = self._components
        for each in components.collectors:
            registry.register(each)
        components.lifecycle.observer = metrics.observer

        def sample() -> None:
            metrics.sample(components.backends.values())
            components.load.report()
            components.lifecycle.follow()

        return sample

    @override
    def describe(self) -> dict[str, tuple[str, ...]]:
        """For the banner: under "models" which model answers and why, and which backends list no models."""
        components = self._components
        targets = components.router.table.aliases.get(CHAT_ALIAS, ())
        overridden = targets != components.router.configured.aliases.get(CHAT_ALIAS)
        reason = "switched at runtime" if overridden else components.lifecycle.reason
        return {
            "models": (
                f"{CHAT_ALIAS} is {components.admin.describe_alias(CHAT_ALIAS, addresses=True)} ({reason})",
                *(f"{name} does not list its models: {why}" for name, why in self._unlisted_configured()),
                *(f"{name} gets no requests (DrainBackend)" for name in self._drained()),
            ),
            **super().describe(),
        }

    @override
    async def start(self) -> None:
        """A backend that is down does not keep the gateway from starting."""
        components = self._components
        components.override_store.open()
        components.drains.open()
        if components.reports is not None:
            components.locks.open()
            components.reports.open()
        await components.accounting.start()
        await components.hooks.start()
        await components.lifecycle.start()
        await components.replies.start()
        self._log.info(
            "models_found",
            chat=components.admin.describe_alias(CHAT_ALIAS),
            reason=components.lifecycle.reason,
        )

    @override
    async def reload(self) -> None:
        """Puts the sections in place that can change without a restart, as they are now."""
        await self._components.lifecycle.reload()

    @property
    @override
    def dependencies(self) -> Sequence[Dependency]:
        """Not the models: callers of a model that is down get an error of their own."""
        components = self._components
        return Dependency("alias_overrides", components.override_store.check), components.plugins

    @override
    async def stop(self) -> None:
        await self._components.replies.stop()
        self._components.token_counts.close()
        await self._components.hooks.stop()
        await self._components.lifecycle.stop()
        self._components.override_store.close()
        self._components.drains.close()
        if self._components.reports is not None:
            self._components.reports.close()
        self._components.locks.close()
        await self._components.accounting.stop()

    def _drained(self) -> list[str]:
        return [name for name, backend in self._components.backends.items() if backend.draining]

    def _unlisted_configured(self) -> list[tuple[str, str]]:
        """The backends of aliases that did not list their models; not the candidates of discovery."""
        in_use = {
            target.backend
            for targets in self._components.router.configured.aliases.values()
            for target in targets
        }
        return [
            (name, reason) for name, reason in self._components.lifecycle.unlisted.items() if name in in_use
        ]
