"""Composition root of the model gateway: the only module that knows every class."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Final

from clawdbot_plugin_client.hooks import HookClient
from clawdbot_servicekit.application import Dependency, Peers
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.peer_health import absent_peer
from clawdbot_servicekit.process_locks import ProcessLocks

from clawdbot_model_gateway.api.admin_servicer import AdminServicer
from clawdbot_model_gateway.api.error_table import error_table
from clawdbot_model_gateway.api.gateway_servicer import GatewayServicer
from clawdbot_model_gateway.application import Components, GatewayApplication
from clawdbot_model_gateway.backend_config import BackendPlan, plan_backends
from clawdbot_model_gateway.backend_lifecycle import BackendLifecycle
from clawdbot_model_gateway.breaker_settings import BreakerSettings
from clawdbot_model_gateway.cache_wiring import cached_replies, fingerprint, similar_requests
from clawdbot_model_gateway.core.backend_set import BackendSet
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.circuit_breaker import BreakerLimits, CircuitBreaker
from clawdbot_model_gateway.core.drains import DrainStore
from clawdbot_model_gateway.core.embeddings import Embeddings, EmbedLimits
from clawdbot_model_gateway.core.generation import Generation
from clawdbot_model_gateway.core.machine_load import MachineLoad
from clawdbot_model_gateway.core.model_admin import ModelAdmin
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.router import Router
from clawdbot_model_gateway.core.scheduling.adaptive_limit import AdaptiveLimit
from clawdbot_model_gateway.core.scheduling.scheduler import CLASSES, NO_LIMIT, QueueLimits, Scheduler
from clawdbot_model_gateway.core.token_counts import TokenCounts
from clawdbot_model_gateway.core.validation import RequestLimits
from clawdbot_model_gateway.failure_wiring import FailureMetrics, failure_policy
from clawdbot_model_gateway.limits_wiring import Accounts, prices
from clawdbot_model_gateway.local_model import find_local_model
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider
from clawdbot_model_gateway.settings import AdaptiveConcurrency, GatewaySettings, QueueSettings
from clawdbot_model_gateway.stores.file.alias_overrides import FileAliasOverrideStore
from clawdbot_model_gateway.stores.file.drains import FileDrainStore
from clawdbot_model_gateway.stores.file.mapped_counter import MappedCounter
from clawdbot_model_gateway.stores.file.slot_table import SlotTable
from clawdbot_model_gateway.stores.file.worker_reports import FileWorkerReports
from clawdbot_model_gateway.stores.in_memory.alias_overrides import InMemoryAliasOverrideStore

FOLDER: Final = "model_gateway"
"""Below state_dir."""
WITHOUT_PLUGINS: Final = "no hook is asked, so nothing limits or refuses generations"


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
    failure_metrics = FailureMetrics()
    several = settings.server.workers > 1
    folder = settings.state_dir / FOLDER
    locks = ProcessLocks(folder / "processes")
    drains = FileDrainStore(folder)

    def make_backend(name: str, plan: BackendPlan) -> Backend:
        backend = plan.backends[name]
        # Their slots are shared where several workers have them and the limit is for all together.
        shared = several and backend.queue.concurrency is not None
        slots = SlotTable(folder / "slots" / name, locks) if shared else None
        return _backend(name, plan, providers, slots, drains=drains, failure_metrics=failure_metrics)

    backends = BackendSet({name: make_backend(name, plan) for name in plan.backends})
    reports = FileWorkerReports(folder / "reports", locks) if several else None
    load = MachineLoad(backends, drains, reports)
    switching = settings.gateway.switching
    override_store = FileAliasOverrideStore(folder) if switching else InMemoryAliasOverrideStore()
    router = Router(override_store, backends)
    lifecycle = BackendLifecycle(
        plan,
        backends,
        read_plan=lambda: plan_backends(settings.read_again(), providers, find_local_model()),
        make_backend=make_backend,
        router=router,
        drains=drains,
        load=load,
        reloads=MappedCounter(folder / "reloads.count") if several else None,
    )
    plugins_channel = peers.channel("plugins")
    hooks = HookClient(plugins_channel)
    limits = RequestLimits(
        settings.gateway.max_request, settings.gateway.max_messages, MediaPolicy(settings.media)
    )
    cache_metrics = CacheMetrics()
    replies = cached_replies(settings.gateway.cache, folder, cache_metrics)
    accounts = Accounts(settings, backends, plan.aliases, folder)
    generation = Generation(
        router,
        backends,
        hooks=hooks,
        limits=limits,
        replies=replies,
        draw=draw,
        accounts=accounts.calls,
    )
    embed_limits = EmbedLimits(settings.gateway.max_texts, settings.gateway.max_request)
    vectors = None if replies is None else replies.vectors
    embeddings = Embeddings(
        router,
        backends,
        hooks=hooks,
        limits=embed_limits,
        vectors=vectors,
        draw=draw,
        accounts=accounts.calls,
    )
    if replies is not None:
        replies.similar = similar_requests(settings.gateway.cache.semantic, embeddings.embed, cache_metrics)
    token_counts = TokenCounts(router, backends, limits=limits)
    admin = ModelAdmin(
        router,
        backends,
        drains,
        load,
        lifecycle.reload_everywhere,
        switching=switching,
        replies=replies,
    )
    components = Components(
        lifecycle=lifecycle,
        backends=backends,
        router=router,
        admin=admin,
        token_counts=token_counts,
        override_store=override_store,
        drains=drains,
        load=load,
        reports=reports,
        locks=locks,
        replies=replies,
        cache_metrics=cache_metrics,
        accounts=accounts,
        failure_metrics=failure_metrics,
        hooks=hooks,
        plugins=(
            Dependency("plugins", hooks.check) if plugins_channel else absent_peer("plugins", WITHOUT_PLUGINS)
        ),
        gateway_servicer=GatewayServicer(generation, embeddings, token_counts),
        admin_servicer=AdminServicer(admin, accounts.report),
    )
    return GatewayApplication(components, error_table())


def _backend(
    name: str,
    plan: BackendPlan,
    available: Mapping[str, EntryPoint],
    slots: SlotTable | None,
    *,
    drains: DrainStore,
    failure_metrics: FailureMetrics,
) -> Backend:
    settings, path = plan.backends[name], plan.config_paths[name]
    provider = make_provider(path, settings, available)
    return Backend(
        name,
        settings.provider,
        provider,
        models=tuple(VendorModel(each.name, each.context_length) for each in settings.models),
        preferred_model=settings.name or "",
        models_are_configured=bool(settings.models),
        scheduler=_scheduler(path, settings.queue, provider.max_concurrency, slots),
        default_temperature=settings.temperature,
        fingerprint=fingerprint(settings),
        prices=prices(settings.prices),
        failure=failure_policy(name, settings, failure_metrics),
        breaker=_breaker(name, settings.breaker),
        drains=drains,
    )


def _breaker(backend: str, settings: BreakerSettings) -> CircuitBreaker | None:
    if not settings.enabled:
        return None
    limits = BreakerLimits(**settings.model_dump(exclude={"enabled"}))
    return CircuitBreaker(backend, limits, time.monotonic, random.random)


def _scheduler(
    path: str, queue: QueueSettings, connections: int | None, slots: SlotTable | None
) -> Scheduler:
    most = queue.concurrency.max if isinstance(queue.concurrency, AdaptiveConcurrency) else queue.concurrency
    if most is not None and connections is not None and most > connections:
        raise StartupError(
            f"{path}.queue.concurrency: {most} requests at a time need as many connections; "
            f"raise {path}.http.pool_size, which is {connections}."
        )
    limit: int | AdaptiveLimit
    if isinstance(queue.concurrency, AdaptiveConcurrency):
        limit = AdaptiveLimit(queue.concurrency.min, queue.concurrency.max)
    else:
        limit = queue.concurrency or connections or NO_LIMIT
    shares = {priority: getattr(queue.shares, name) for priority, name in CLASSES.items()}
    return Scheduler(limit, QueueLimits(queue.size, queue.timeout, shares), time.monotonic, slots)
