"""Builds what decides about a failing backend, and its metrics, from the settings."""

from __future__ import annotations

from prometheus_client import Counter
from prometheus_client.registry import Collector
from typing_extensions import override

from clawdbot_model_gateway.core.failure_policy import FailureObserver, FailurePolicy, HedgeRule, RetryRule
from clawdbot_model_gateway.settings import BackendSettings


class FailureMetrics:
    """The metrics, in no registry yet."""

    def __init__(self) -> None:
        self.retries = Counter(
            "clawdbot_backend_retries",
            "Requests that were sent to the same backend again.",
            ("backend",),
            registry=None,
        )
        self.hedges = Counter(
            "clawdbot_backend_hedges",
            "Requests that were sent to another target as well, since this backend took long to begin.",
            ("backend",),
            registry=None,
        )
        self.refused_retries = Counter(
            "clawdbot_backend_retries_over_budget",
            "Retries and hedges that were not made, since they are too large a share of the requests.",
            ("backend",),
            registry=None,
        )

    @property
    def collectors(self) -> list[Collector]:
        """All of them, to be registered."""
        return [self.retries, self.hedges, self.refused_retries]


class _Observer(FailureObserver):
    def __init__(self, backend: str, metrics: FailureMetrics) -> None:
        self._retries = metrics.retries.labels(backend)
        self._hedges = metrics.hedges.labels(backend)
        self._refused_retries = metrics.refused_retries.labels(backend)

    @override
    def retried(self) -> None:
        self._retries.inc()

    @override
    def hedged(self) -> None:
        self._hedges.inc()

    @override
    def budget_spent(self) -> None:
        self._refused_retries.inc()


def failure_policy(backend: str, settings: BackendSettings, metrics: FailureMetrics) -> FailurePolicy:
    """The policy for a backend."""
    retry = settings.retry
    policy = FailurePolicy(
        settings.http.first_content_timeout,
        RetryRule(retry.attempts, retry.base, retry.max, retry.budget),
        None if settings.hedge is None else HedgeRule(settings.hedge.after, settings.hedge.budget),
    )
    policy.observer = _Observer(backend, metrics)
    return policy
