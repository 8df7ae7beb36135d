"""The settings of prices, limits and usage."""

from __future__ import annotations

from typing import Annotated

from clawdbot_servicekit.settings import Number, Section
from clawdbot_servicekit.settings.values import DAY, Lifetime
from pydantic import Field

DollarsPerMillion = Annotated[Number, Field(ge=0, le=1_000_000)]
"""US dollars for a million tokens, as vendors' price lists have it; exact to six decimals."""


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


class LimitsSettings(Section):
    """What callers may use, and how long it is known what they used."""

    usage_retention: Annotated[Lifetime, Field(ge=DAY)] = 400.0 * DAY
    """How long GetUsage has a day."""
