"""The settings of prices, limits and usage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final, Literal

from clawdbot_servicekit.settings import Number, Secret, Section, Whole
from clawdbot_servicekit.settings.values import DAY, MAX_COUNT, Lifetime, Wait
from pydantic import BeforeValidator, Field, InstanceOf, field_validator

from clawdbot_model_gateway.core.limits.windows import Rate, parse_rates
from clawdbot_model_gateway.settings.redis_url import redis_url

MICROS: Final = 1_000_000
"""Millionths of a dollar in a dollar."""

DollarsPerMillion = Annotated[Number, Field(ge=0, le=1_000_000)]
"""US dollars for a million tokens, as vendors' price lists have it; exact to six decimals."""
CountRates = Annotated[
    tuple[InstanceOf[Rate], ...], BeforeValidator(partial(parse_rates, unit=1, maximum=10**12))
]
"""Numbers per window: "60/minute; 1000/day"."""
MoneyRates = Annotated[
    tuple[InstanceOf[Rate], ...], BeforeValidator(partial(parse_rates, unit=MICROS, maximum=10**9))
]
"""US dollars per window: "0.50/day; 10/month"."""


class PriceSettings(Section):
    """What a model costs, in US dollars for a million tokens."""

    input: DollarsPerMillion = 0.0
    output: DollarsPerMillion = 0.0
    cached: DollarsPerMillion | None = None
    """Input that the vendor read from its cache; omitted: as input."""
    cache_write: DollarsPerMillion | None = None
    """Input that the vendor wrote to its cache; omitted: as input."""
    reasoning: DollarsPerMillion | None = None
    """Output that was spent on reasoning; omitted: as output."""
    audio: DollarsPerMillion | None = None
    """Audio in either direction; omitted: as input or output."""


class QuotaSettings(Section):
    """What may be used in a minute, an hour, a day or a month of the calendar (UTC), and at the same time."""

    requests: CountRates = ()
    tokens: CountRates = ()
    """Input and output together."""
    cost: MoneyRates = ()
    """US dollars."""
    concurrent: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] | None = None
    """Calls at the same time."""


class LevelSettings(QuotaSettings):
    """The limits of the installation, of a tenant or of a key."""

    models: Mapping[str, QuotaSettings] = Field(default_factory=dict)
    """More limits, by alias or "backend/model"."""


class LimitsSettings(Section):
    """What callers may use, and how long it is known what they used."""

    installation: LevelSettings = LevelSettings()
    tenant: LevelSettings = LevelSettings()
    """Of each tenant that is not in `tenants`."""
    tenants: Mapping[str, LevelSettings] = Field(default_factory=dict)
    """Tenant → its limits, in place of those of `tenant`."""
    key: LevelSettings = LevelSettings()
    """Of each key that is not in `keys`."""
    keys: Mapping[str, LevelSettings] = Field(default_factory=dict)
    """Id of a key → its limits, in place of those of `key`."""
    alert_at: Annotated[Number, Field(gt=0, le=1)] = 0.8
    """Part of a limit at which the log has a warning."""
    reserve_output: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] = 1024
    """Tokens of the reply that are reserved for a request without max_tokens, where there is room."""
    on_error: Literal["allow", "refuse"] = "allow"
    """What happens to calls while the store of limits is down."""
    timeout: Annotated[Wait, Field(gt=0)] = 0.25
    """How long a call waits for Redis. More than Redis needs: a burst of calls keeps this process busy."""
    redis: Secret | None = None
    """URL of a Redis or Valkey that replicas share; omitted: limits hold on this machine."""
    usage_retention: Annotated[Lifetime, Field(ge=DAY)] = 400.0 * DAY
    """How long GetUsage has a day."""

    _redis_url = field_validator("redis")(redis_url)
