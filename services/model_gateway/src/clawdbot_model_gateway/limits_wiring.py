"""Builds prices, limits and accounting from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clawdbot_model_gateway.core.limits.accounting import Accounting
from clawdbot_model_gateway.core.limits.metrics import LimitMetrics
from clawdbot_model_gateway.core.limits.prices import PER_MICRO, Price, Prices
from clawdbot_model_gateway.core.limits.usage_meter import UsageMeter
from clawdbot_model_gateway.core.limits.usage_report import UsageReport
from clawdbot_model_gateway.limits_settings import PriceSettings
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.stores.sqlite.usage_ledger import SqliteUsageLedger


class Accounts:
    """Limits and usage, built and not yet started.

    Args:
        settings: the gateway's settings.
        folder: for what the workers of this machine share.
    """

    def __init__(self, settings: GatewaySettings, folder: Path) -> None:
        self.metrics = LimitMetrics()
        ledger = SqliteUsageLedger(folder)
        self.meter = UsageMeter(ledger, self.metrics)
        self.report = UsageReport(ledger, self.meter)
        self.background = Accounting(ledger, self.meter, settings.limits.usage_retention)


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
