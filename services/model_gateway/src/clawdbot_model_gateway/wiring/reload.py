"""What a reload of the configuration changes beside backends and aliases, and what it cannot change."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import structlog
from clawdbot_servicekit.errors import StartupError

from clawdbot_model_gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)

RELOADED: Final = ("model", "models", "limits", "gateway")
"""The sections that a reload puts in place. All others are those of the start."""
FIXED: Final = (
    "limits.redis",
    "gateway.switching",
    "gateway.cache.memory",
    "gateway.cache.redis",
)
"""Keys of those sections that decide which stores there are, or what is in them."""


def check_fixed(old: GatewaySettings, new: GatewaySettings) -> None:
    """Returns if a reload can put the new settings in place as a whole.

    Raises:
        StartupError: a key differs that only a restart changes.
    """
    for path in FIXED:
        value = attrgetter(path)
        if value(old) != value(new):
            raise StartupError(
                f"{path}: this cannot change without a restart; put it back, or restart the gateway."
            )


def keep(old: GatewaySettings, new: GatewaySettings) -> Sequence[str]:
    """Has workers that start later run on what was put in place; returns the sections that were not.

    Args:
        old: the settings of the start.
        new: those that were read again.
    """
    old.accept(new, RELOADED)
    if old.reading is None or new.reading is None:
        return ()
    before, now = old.reading.document.values, new.reading.document.values
    others = sorted({name for name in (*before, *now) if before.get(name) != now.get(name)} - {*RELOADED})
    if others:
        log.warning("restart_needed", sections=others)
    return others
