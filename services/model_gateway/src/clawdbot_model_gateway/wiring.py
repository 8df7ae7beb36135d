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
from clawdbot_model_gateway.cache_wiring import cached_replies, fingerprint
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.embeddings import Embeddings, EmbedLimits
from clawdbot_model_gateway.core.generation import Generation
from clawdbot_model_gateway.core.model_admin import ModelAdmin
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.router import Router
from clawdbot_model_gateway.core.scheduling.adaptive_limit import AdaptiveLimit
from clawdbot_model_gateway.core.scheduling.scheduler import CLASSES, NO_LIMIT, QueueLimits, Scheduler
from clawdbot_model_gateway.core.token_counts import TokenCounts
from clawdbot_model_gateway.core.validation import RequestLimits
from clawdbot_model_gateway.failure_wiring import FailureMetrics, failure_policy
from clawdbot_model_gateway.local_model import find_local_model
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider
from clawdbot_model_gateway.settings import AdaptiveConcurrency, GatewaySettings, QueueSettings
from clawdbot_model_gateway.stores.file.alias_overrides import FileAliasOverrideStore
from clawdbot_model_gateway.stores.file.slot_table import SlotTable
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
    slot_locks = ProcessLocks(settings.state_dir / FOLDER / "processes")
    slot_tables = _slot_tables(plan, settings, slot_locks)
    failure_metrics = FailureMetrics()
    backends = _backends(plan, providers, slot_tables, failure_metrics)
    switching = settings.gateway.switching
    override_store = (
        FileAliasOverrideStore(settings.state_dir / FOLDER) if switching else InMemoryAliasOverrideStore()
    )
    router = Router(override_store, backends)
    plugins_channel = peers.channel("plugins")
    hooks = HookClient(plugins_channel)
    limits = RequestLimits(
        settings.gateway.max_request, settings.gateway.max_messages, MediaPolicy(settings.media)
    )
    cache_metrics = CacheMetrics()
    replies = cached_replies(settings.gateway.cache, settings.state_dir / FOLDER, cache_metrics)
    generation = Generation(router, backends, hooks=hooks, limits=limits, replies=replies, draw=draw)
    embed_limits = EmbedLimits(settings.gateway.max_texts, settings.gateway.max_request)
    embeddings = Embeddings(router, backends, hooks=hooks, limits=embed_limits, draw=draw)
    token_counts = TokenCounts(router, backends, limits=limits)
    admin = ModelAdmin(router, backends, switching=switching, replies=replies)
    components = Components(
        plan=plan,
        backends=backends,
        router=router,
        admin=admin,
        token_counts=token_counts,
        override_store=override_store,
        slot_locks=slot_locks,
        slot_tables=[*slot_tables.values()],
        replies=replies,
        cache_metrics=cache_metrics,
        failure_metrics=failure_metrics,
        hooks=hooks,
        plugins=(
            Dependency("plugins", hooks.check) if plugins_channel else absent_peer("plugins", WITHOUT_PLUGINS)
        ),
        gateway_servicer=GatewayServicer(generation, embeddings, token_counts),
        admin_servicer=AdminServicer(admin),
    )
    return GatewayApplication(components, error_table())


def _backends(
    plan: BackendPlan,
    available: Mapping[str, EntryPoint],
    slot_tables: Mapping[str, SlotTable],
    failure_metrics: FailureMetrics,
) -> dict[str, Backend]:
    backends = {}
    for name, settings in plan.backends.items():
        path = plan.config_paths[name]
        provider = make_provider(path, settings, available)
        backends[name] = Backend(
            name,
            settings.provider,
            provider,
            models=tuple(VendorModel(each.name, each.context_length) for each in settings.models),
            preferred_model=settings.name or "",
            models_are_configured=bool(settings.models),
            scheduler=_scheduler(path, settings.queue, provider.max_concurrency, slot_tables.get(name)),
            default_temperature=settings.temperature,
            fingerprint=fingerprint(settings),
            failure=failure_policy(name, settings, failure_metrics),
        )
    return backends


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


def _slot_tables(plan: BackendPlan, settings: GatewaySettings, locks: ProcessLocks) -> dict[str, SlotTable]:
    """Of the backends whose concurrency is configured: by name, where several workers share them."""
    if settings.server.workers == 1:
        return {}
    folder = settings.state_dir / FOLDER / "slots"
    return {
        name: SlotTable(folder / name, locks)
        for name, backend in plan.backends.items()
        if backend.queue.concurrency is not None
    }
