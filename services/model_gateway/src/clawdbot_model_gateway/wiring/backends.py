"""Builds backends from the settings."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.process_locks import ProcessLocks
from clawdbot_servicekit.regular_files import FileStates, file_states

from clawdbot_model_gateway.backend_config import BackendPlan
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.drains import DrainStore
from clawdbot_model_gateway.core.failures.circuit_breaker import BreakerLimits, CircuitBreaker
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy, HedgeRule, RetryRule
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.scheduling.adaptive_limit import AdaptiveLimit
from clawdbot_model_gateway.core.scheduling.scheduler import CLASSES, NO_LIMIT, QueueLimits, Scheduler
from clawdbot_model_gateway.metrics import FailureMetrics
from clawdbot_model_gateway.provider_registry import make_provider, provider_options
from clawdbot_model_gateway.settings import BackendSettings
from clawdbot_model_gateway.settings.failures import BreakerSettings
from clawdbot_model_gateway.settings.queue import AdaptiveConcurrency, QueueSettings
from clawdbot_model_gateway.stores.file.slot_table import SlotTable
from clawdbot_model_gateway.wiring.cache import fingerprint
from clawdbot_model_gateway.wiring.limits import prices


class BackendFactory:
    """Makes the backends of plans: of the first one, and of those that are read later.

    Args:
        available: the installed providers.
        drains: which backends get no requests.
        metrics: of failures.
        slots: folder for the slots that workers share; None where there is one worker.
        locks: tell which workers are alive.
    """

    def __init__(
        self,
        available: Mapping[str, EntryPoint],
        *,
        drains: DrainStore,
        metrics: FailureMetrics,
        slots: Path | None,
        locks: ProcessLocks,
    ) -> None:
        self._available = available
        self._drains = drains
        self._metrics = metrics
        self._slots = slots
        self._locks = locks

    def backend(self, name: str, plan: BackendPlan) -> Backend:
        """A backend of the plan, not yet started. StartupError for an unknown provider or its options."""
        settings, path = plan.backends[name], plan.config_paths[name]
        # Before they are read: what changes meanwhile is a change.
        files = self.files(name, plan)
        provider = make_provider(path, settings, self._available)
        slots = None
        if self._slots is not None and settings.queue.concurrency is not None:
            # The limit is for all workers together.
            slots = SlotTable(self._slots / name, self._locks)
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
            failure=self._failure_policy(name, settings),
            breaker=_breaker(name, settings.breaker),
            drains=self._drains,
            files=files,
        )

    def files(self, name: str, plan: BackendPlan) -> FileStates:
        """The files that a backend's section names, as they are now. StartupError for an invalid section."""
        settings = plan.backends[name]
        options = provider_options(plan.config_paths[name], settings, self._available)
        return file_states([*settings.files(), *options.files()])

    def _failure_policy(self, name: str, settings: BackendSettings) -> FailurePolicy:
        retry, hedge = settings.retry, settings.hedge
        policy = FailurePolicy(
            settings.http.first_content_timeout,
            RetryRule(retry.attempts, retry.base, retry.max, retry.budget),
            None if hedge is None else HedgeRule(hedge.after, hedge.budget),
        )
        policy.observer = self._metrics.observer(name)
        return policy


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
    shares = queue.shares.model_dump()
    by_class = {priority: shares[name] for priority, name in CLASSES.items()}
    return Scheduler(limit, QueueLimits(queue.size, queue.timeout, by_class), time.monotonic, slots)
