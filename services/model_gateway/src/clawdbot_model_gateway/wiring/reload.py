"""What a reload of the configuration changes beside backends and aliases, and what it cannot change."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from clawdbot_servicekit.errors import StartupError

from clawdbot_model_gateway.settings import GatewaySettings

RELOADED: Final = ("model", "models", "limits", "gateway")
"""The sections that a reload puts in place. All others are those of the start."""
FIXED: Final = (
    "limits.redis",
    "gateway.switching",
    "gateway.cache.memory",
    "gateway.cache.redis",
    "gateway.cache.semantic",
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
