"""Builds prices, limits and accounting from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from clawdbot_model_gateway.backend_config import BackendPlan
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.limits.accounting import Accounting
from clawdbot_model_gateway.core.limits.call_accounts import CallAccounts
from clawdbot_model_gateway.core.limits.limit_store import LimitStore
from clawdbot_model_gateway.core.limits.limits import LimitRules, Limits
from clawdbot_model_gateway.core.limits.metrics import LimitMetrics
from clawdbot_model_gateway.core.limits.prices import PER_MICRO, Price, Prices
from clawdbot_model_gateway.core.limits.quotas import Kind, Limit, Quota, Quotas
from clawdbot_model_gateway.core.limits.usage_ledger import UsageLedger
from clawdbot_model_gateway.core.limits.usage_meter import UsageMeter
from clawdbot_model_gateway.core.limits.usage_report import UsageReport
from clawdbot_model_gateway.core.limits.windows import Rate
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.settings.limits import (
    LevelSettings,
    LimitsSettings,
    PriceSettings,
    QuotaSettings,
)
from clawdbot_model_gateway.stores.in_memory.limit_store import InMemoryLimitStore
from clawdbot_model_gateway.stores.sqlite.limit_store import SqliteLimitStore, SqliteSavedCounters
from clawdbot_model_gateway.stores.sqlite.usage_ledger import SqliteUsageLedger
from clawdbot_model_gateway.wiring.limit_checks import CHAT_AND_DEFAULT, check_limits
from clawdbot_model_gateway.wiring.redis import redis_at

FILE_TIMEOUT: Final = 5.0
"""Seconds that a call waits for the file that workers share. It is never far away, only busy."""


class Accounts:
    """Limits and usage, built and not yet started.

    Args:
        settings: the gateway's settings.
        backends: by name.
        plan: with the aliases of the configuration.
        folder: for what the workers of this machine share.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        backends: Mapping[str, Backend],
        plan: BackendPlan,
        folder: Path,
    ) -> None:
        section = settings.limits
        self.metrics = LimitMetrics()
        redis = None if section.redis is None else section.redis.get_secret_value()
        ledger, store = _ledger(redis, folder), _store(settings, redis, folder)
        meter = UsageMeter(ledger, self.metrics)
        self._limits = Limits(_rules(settings, plan), store, backends, self.metrics)
        self.calls = CallAccounts(meter, self._limits)
        self.report = UsageReport(ledger, meter)
        self.background = Accounting(ledger, meter, section.usage_retention, store)

    def prepare(self, settings: GatewaySettings, plan: BackendPlan) -> Callable[[], None]:
        """What puts the section limits of another configuration in place; StartupError if it is invalid."""
        rules = _rules(settings, plan)

        def put_in_place() -> None:
            self._limits.configure(rules)
            self.background.retention = settings.limits.usage_retention

        return put_in_place


def _rules(settings: GatewaySettings, plan: BackendPlan) -> LimitRules:
    section = settings.limits
    quotas = _quotas(section)
    if quotas.kinds:
        check_limits(settings, plan)
    return LimitRules(
        quotas,
        section.alert_at,
        section.reserve_output,
        refuse_on_error=section.on_error == "refuse",
        timeout=FILE_TIMEOUT if section.redis is None else section.timeout,
        synonyms=CHAT_AND_DEFAULT if plan.chat_is_default else frozenset(),
    )


def _ledger(redis: str | None, folder: Path) -> UsageLedger:
    if redis is None:
        return SqliteUsageLedger(folder)
    # Only where it is used: the import takes longer than the rest of the gateway's start.
    from clawdbot_model_gateway.stores.redis.usage_ledger import RedisUsageLedger

    with redis_at("limits.redis"):
        return RedisUsageLedger(redis)


def _store(settings: GatewaySettings, redis: str | None, folder: Path) -> LimitStore:
    """The store of limits: as much as the deployment needs, and no more."""
    if redis is not None:
        from clawdbot_model_gateway.stores.redis.limit_store import RedisLimitStore

        return RedisLimitStore(redis)
    if settings.server.workers > 1:
        return SqliteLimitStore(folder)
    return InMemoryLimitStore(SqliteSavedCounters(folder))


def _quotas(settings: LimitsSettings) -> Quotas:
    return Quotas(
        _quota(settings.installation),
        _quota(settings.tenant),
        {name: _quota(each) for name, each in settings.tenants.items()},
        _quota(settings.key),
        {name: _quota(each) for name, each in settings.keys.items()},
    )


def _quota(settings: LevelSettings) -> Quota:
    return Quota(_limits(settings), {name: _limits(each) for name, each in settings.models.items()})


def _limits(settings: QuotaSettings) -> tuple[Limit, ...]:
    rates: Mapping[Kind, tuple[Rate, ...]] = {
        "requests": settings.requests,
        "tokens": settings.tokens,
        "cost": settings.cost,
    }
    limits = [Limit(kind, each.amount, each) for kind, values in rates.items() for each in values]
    if settings.concurrent is not None:
        limits.append(Limit("concurrent", settings.concurrent))
    return tuple(limits)


def prices(settings: Mapping[str, PriceSettings]) -> Prices:
    """The prices of a backend's models."""
    return {model: _price(each) for model, each in settings.items()}


def _price(settings: PriceSettings) -> Price:
    def units(dollars: float | None, otherwise: float) -> int:
        # A dollar for a million tokens is a millionth of a dollar for one.
        return round((otherwise if dollars is None else dollars) * PER_MICRO)

    return Price(
        input=units(settings.input, 0),
        cached=units(settings.cached, settings.input),
        cache_write=units(settings.cache_write, settings.input),
        output=units(settings.output, 0),
        reasoning=units(settings.reasoning, settings.output),
        audio=None if settings.audio is None else units(settings.audio, 0),
    )
