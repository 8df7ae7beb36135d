"""Checks at the start that each limit limits what it seems to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import structlog
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.suggestions import nearest_or_all

from clawdbot_model_gateway.backend_config import BackendPlan
from clawdbot_model_gateway.core.limits.prices import ANY_MODEL
from clawdbot_model_gateway.core.routing.routing_table import CHAT_ALIAS, DEFAULT_ALIAS, Target
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.settings.limits import LevelSettings, LimitsSettings, QuotaSettings

log = structlog.get_logger(__name__)

CHAT_AND_DEFAULT: Final = frozenset({CHAT_ALIAS, DEFAULT_ALIAS})
SERVICE_KEYS: Final = frozenset({"", "service"})
"""Ids of callers that are not configured: without a key, and another service."""


def check_limits(settings: GatewaySettings, plan: BackendPlan) -> None:
    """Checks the names in the section `limits`, and warns of models whose cost is limited and not known.

    Raises:
        StartupError: a key or a model does not exist, or nothing has a price.
    """
    keys = {*SERVICE_KEYS, *(each.id for each in settings.auth.keys)}
    for name in settings.limits.keys:
        if name not in keys:
            raise StartupError(
                f"limits.keys.{name}: there is no key {name} in auth.keys{nearest_or_all(name, keys - {''})}"
            )
    on_cost = []
    for path, level in _levels(settings.limits):
        aliases = {*plan.aliases, *CHAT_AND_DEFAULT}
        for name in level.models:
            _check_model(f"{path}.models.{name}", name, plan.backends, aliases)
        quotas: dict[str, QuotaSettings] = {path: level}
        quotas |= {f"{path}.models.{name}": each for name, each in level.models.items()}
        on_cost += [f"{path}.cost" for path, each in quotas.items() if each.cost]
    if on_cost:
        _check_prices(on_cost[0], plan)


def _levels(section: LimitsSettings) -> Iterator[tuple[str, LevelSettings]]:
    """Each level, with its path in the configuration."""
    yield "limits.installation", section.installation
    yield "limits.tenant", section.tenant
    yield from ((f"limits.tenants.{name}", each) for name, each in section.tenants.items())
    yield "limits.key", section.key
    yield from ((f"limits.keys.{name}", each) for name, each in section.keys.items())


def _check_model(path: str, name: str, backends: Collection[str], aliases: set[str]) -> None:
    """A name that is misspelled would never be limited."""
    backend, slash, model = name.partition("/")
    if not ((backend in backends and model) if slash else name in aliases):
        known = [*aliases, *(f"{each}/{model or 'MODEL'}" for each in backends)]
        raise StartupError(f"{path}: there is no model {name}{nearest_or_all(name, known)}")


def _check_prices(path: str, plan: BackendPlan) -> None:
    """What has no price is free, whatever the limit."""
    if not any(each.prices for each in plan.backends.values()):
        raise StartupError(
            f"{path}: the cost is limited, but no backend has prices, so that everything would be free: "
            'add them, such as `prices: {"*": {input: 1.25, output: 10}}` (US dollars for a million tokens).'
        )
    listed = {Target(name, each.name) for name, backend in plan.backends.items() for each in backend.models}
    for target in sorted({each.name for targets in (*plan.aliases.values(), listed) for each in targets}):
        backend, _, model = target.partition("/")
        prices = plan.backends[backend].prices
        if model not in prices and ANY_MODEL not in (model, *prices):
            log.warning(
                "model_without_price",
                target=target,
                explanation=f"{path} does not limit it: it counts as free",
                advice=f"add it to the prices of {backend}, with `{{}}` if it is free",
            )
