"""Builds the model gateway from its settings."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint
from typing import Final

from clawdbot_plugin_client.hooks import HookClient
from clawdbot_servicekit.application import Dependency, Peers
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.peer_health import absent_peer
from clawdbot_servicekit.process_locks import ProcessLocks

from clawdbot_model_gateway.api.admin_servicer import AdminServicer
from clawdbot_model_gateway.api.error_table import error_table
from clawdbot_model_gateway.api.gateway_servicer import GatewayServicer
from clawdbot_model_gateway.application import Components, GatewayApplication
from clawdbot_model_gateway.backend_config import BackendPlan, plan_backends
from clawdbot_model_gateway.backend_lifecycle import BackendLifecycle, PutInPlace
from clawdbot_model_gateway.core.backend_set import BackendSet
from clawdbot_model_gateway.core.embeddings import Embeddings, EmbedLimits
from clawdbot_model_gateway.core.generation import Generation
from clawdbot_model_gateway.core.limits.call_accounts import CallAccounts
from clawdbot_model_gateway.core.machine_load import MachineLoad
from clawdbot_model_gateway.core.model_admin import ModelAdmin
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.similar_requests import SimilarRequests
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.tokens.token_counts import TokenCounts
from clawdbot_model_gateway.core.validation import RequestLimits
from clawdbot_model_gateway.local_model import find_local_model
from clawdbot_model_gateway.metrics import FailureMetrics
from clawdbot_model_gateway.provider_registry import installed_providers
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.settings.gateway import GatewaySection
from clawdbot_model_gateway.stores.file.alias_overrides import FileAliasOverrideStore
from clawdbot_model_gateway.stores.file.drains import FileDrainStore
from clawdbot_model_gateway.stores.file.mapped_counter import MappedCounter
from clawdbot_model_gateway.stores.file.worker_reports import FileWorkerReports
from clawdbot_model_gateway.stores.in_memory.alias_overrides import InMemoryAliasOverrideStore
from clawdbot_model_gateway.wiring.backends import BackendFactory
from clawdbot_model_gateway.wiring.cache import (
    cache_rules,
    cached_replies,
    semantic_fingerprint,
    similar_requests,
)
from clawdbot_model_gateway.wiring.limits import Accounts
from clawdbot_model_gateway.wiring.reload import check_fixed, keep

FOLDER: Final = "model_gateway"
"""Below state_dir."""
WITHOUT_PLUGINS: Final = "no hook is asked, so no plugin limits or refuses generations"


def build(
    settings: GatewaySettings,
    peers: Peers,
    *,
    draw: Callable[[], float] = random.random,
    available: Mapping[str, EntryPoint] | None = None,
) -> GatewayApplication:
    """The model gateway, not yet started.

    Args:
        settings: the gateway's settings, or the suite's.
        peers: for the plugins' hooks.
        draw: uniform numbers in [0, 1), for the weights of targets.
        available: the installed providers; looked up where omitted.

    Raises:
        StartupError: for an unknown provider, invalid settings of one, or an alias without a valid target.
    """
    providers = installed_providers() if available is None else available
    plan = plan_backends(settings, providers, find_local_model())
    several = settings.server.workers > 1
    folder = settings.state_dir / FOLDER
    locks = ProcessLocks(folder / "processes")
    drains = FileDrainStore(folder)
    failure_metrics = FailureMetrics()
    factory = BackendFactory(
        providers,
        drains=drains,
        metrics=failure_metrics,
        slots=folder / "slots" if several else None,
        locks=locks,
    )
    backends = BackendSet({name: factory.backend(name, plan) for name in plan.backends})
    reports = FileWorkerReports(folder / "reports", locks) if several else None
    load = MachineLoad(backends, drains, reports)
    switching = settings.gateway.switching
    override_store = FileAliasOverrideStore(folder) if switching else InMemoryAliasOverrideStore()
    router = Router(override_store, backends)

    def read(*, accepted: bool) -> tuple[BackendPlan, PutInPlace]:
        new = settings.read_again(accepted=accepted)
        new_plan = plan_backends(new, providers, find_local_model())
        with new.locating_errors():
            check_fixed(settings, new)
            configure_limits = accounts.prepare(new, new_plan)

        def put_in_place() -> Sequence[str]:
            configure_limits()
            calls.configure(new.gateway, new_plan)
            return keep(settings, new)

        return new_plan, put_in_place

    lifecycle = BackendLifecycle(
        plan,
        backends,
        read=partial(read, accepted=False),
        read_accepted=partial(read, accepted=True),
        factory=factory,
        router=router,
        drains=drains,
        load=load,
        reloads=MappedCounter(folder / "reloads.count") if several else None,
    )
    plugins_channel = peers.channel("plugins")
    hooks = HookClient(plugins_channel)
    accounts = Accounts(settings, backends, plan, folder)
    calls = _Calls(settings, plan, router, backends, hooks=hooks, accounts=accounts.calls, draw=draw)
    admin = ModelAdmin(
        router,
        backends,
        drains,
        load,
        lifecycle.reload_everywhere,
        replies=calls.replies,
        switching=switching,
    )
    components = Components(
        lifecycle=lifecycle,
        backends=backends,
        router=router,
        admin=admin,
        token_counts=calls.token_counts,
        override_store=override_store,
        drains=drains,
        load=load,
        reports=reports,
        locks=locks,
        replies=calls.replies,
        accounting=accounts.background,
        collectors=[
            *calls.cache_metrics.collectors,
            *accounts.metrics.collectors,
            *failure_metrics.collectors,
        ],
        hooks=hooks,
        plugins=(
            Dependency("plugins", hooks.check) if plugins_channel else absent_peer("plugins", WITHOUT_PLUGINS)
        ),
        gateway_servicer=GatewayServicer(calls.generation, calls.embeddings, calls.token_counts),
        admin_servicer=AdminServicer(admin, accounts.report),
    )
    return GatewayApplication(components, error_table())


class _Calls:
    """What answers the calls to models, and the cache that they share."""

    def __init__(
        self,
        settings: GatewaySettings,
        plan: BackendPlan,
        router: Router,
        backends: BackendSet,
        *,
        hooks: HookClient,
        accounts: CallAccounts,
        draw: Callable[[], float],
    ) -> None:
        section = settings.gateway
        self._media = MediaPolicy(settings.media)
        self._max_message = settings.server.max_message
        self.cache_metrics = CacheMetrics()
        self.replies = cached_replies(section.cache, settings.state_dir / FOLDER, self.cache_metrics)
        limits = self._request_limits(section)
        self.generation = Generation(
            router,
            backends,
            hooks=hooks,
            limits=limits,
            replies=self.replies,
            draw=draw,
            accounts=accounts,
        )
        self.embeddings = Embeddings(
            router,
            backends,
            hooks=hooks,
            limits=_embed_limits(section),
            vectors=self.replies.vectors,
            draw=draw,
            accounts=accounts,
        )
        self.token_counts = TokenCounts(router, backends, limits=limits)
        self._semantic_fingerprint = semantic_fingerprint(section.cache.semantic, plan)
        self.replies.similar = self._similar_requests(section)

    def configure(self, section: GatewaySection, plan: BackendPlan) -> None:
        """Applies another section `gateway`, and another plan, to the calls that follow."""
        self.replies.configure(cache_rules(section.cache))
        fingerprint = semantic_fingerprint(section.cache.semantic, plan)
        if fingerprint != self._semantic_fingerprint:
            self._semantic_fingerprint = fingerprint
            self.replies.replace_similar(self._similar_requests(section))
        self.generation.limits = self.token_counts.limits = self._request_limits(section)
        self.embeddings.limits = _embed_limits(section)

    def _similar_requests(self, section: GatewaySection) -> SimilarRequests | None:
        return similar_requests(section.cache.semantic, self.embeddings.embed, self.cache_metrics)

    def _request_limits(self, section: GatewaySection) -> RequestLimits:
        # It takes a while to measure a request, and the server has measured its message.
        max_bytes = section.max_request if section.max_request < self._max_message else None
        return RequestLimits(max_bytes, section.max_messages, self._media)


def _embed_limits(section: GatewaySection) -> EmbedLimits:
    return EmbedLimits(section.max_texts, section.max_request)
