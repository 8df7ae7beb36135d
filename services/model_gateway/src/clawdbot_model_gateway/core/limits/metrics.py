"""The metrics of usage and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter
from prometheus_client.registry import Collector

from clawdbot_model_gateway.core.limits.usage_ledger import COUNTS, Counts, UsageKey

TOKEN_KINDS: Final = {
    name.removesuffix("_tokens"): place for place, name in enumerate(COUNTS) if name.endswith("_tokens")
}
MAX_TENANTS: Final = 200
"""Tenants with metrics of their own, the first ones that call; the rest is OTHER."""
OTHER: Final = "(other)"


class LimitMetrics:
    """The metrics, in no registry yet."""

    def __init__(self) -> None:
        self._tenants: set[str] = set()
        self._tokens = Counter(
            "clawdbot_model_tokens",
            "Tokens, by backend, tenant and kind; cached and cache_write are also input, reasoning output.",
            ("backend", "tenant", "kind"),
            registry=None,
        )
        self._cost = Counter(
            "clawdbot_model_cost_dollars",
            "Cost in US dollars, by backend and tenant.",
            ("backend", "tenant"),
            registry=None,
        )
        self._refusals = Counter(
            "clawdbot_limit_refusals",
            "Calls that a limit refused, by whose limit it is, what it limits, and tenant.",
            ("per", "limit", "tenant"),
            registry=None,
        )
        self._alerts = Counter(
            "clawdbot_limit_alerts",
            "Limits that came near their end, by whose limit it is, what it limits, and tenant.",
            ("per", "limit", "tenant"),
            registry=None,
        )
        self.store_errors = Counter(
            "clawdbot_limit_store_errors",
            "Calls for which the store of limits did not answer, or not in time.",
            registry=None,
        )

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """All of them, for a registry."""
        return self._tokens, self._cost, self._refusals, self._alerts, self.store_errors

    def count_usage(self, usage: Mapping[UsageKey, Counts]) -> None:
        """Counts what was used."""
        for key, counts in usage.items():
            backend, tenant = key.model.partition("/")[0], self._label(key.tenant)
            for kind, place in TOKEN_KINDS.items():
                if counts[place]:
                    self._tokens.labels(backend, tenant, kind).inc(counts[place])
            if counts[-1]:
                self._cost.labels(backend, tenant).inc(counts[-1] / 1e6)

    def count_refusal(self, per: str, limit: str, tenant: str) -> None:
        """Counts a call that a limit refused."""
        self._refusals.labels(per, limit, self._label(tenant)).inc()

    def count_alert(self, per: str, limit: str, tenant: str) -> None:
        """Counts a limit that came near its end."""
        self._alerts.labels(per, limit, self._label(tenant)).inc()

    def _label(self, tenant: str) -> str:
        if tenant not in self._tenants:
            if len(self._tenants) >= MAX_TENANTS:
                return OTHER
            self._tenants.add(tenant)
        return tenant
