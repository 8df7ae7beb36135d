"""One YAML file and the environment, read once and strictly, as a frozen model.

Nothing else in Clawdbot reads the environment. Each service derives one class from SharedSettings.
"""

from clawdbot_servicekit.settings.loader import load
from clawdbot_servicekit.settings.shared import SharedSettings
from clawdbot_servicekit.settings.values import (
    Bytes,
    ConfigPath,
    Lifetime,
    Number,
    Seconds,
    Secret,
    Section,
    Wait,
    Whole,
)

__all__ = [
    "Bytes",
    "ConfigPath",
    "Lifetime",
    "Number",
    "Seconds",
    "Secret",
    "Section",
    "SharedSettings",
    "Wait",
    "Whole",
    "load",
]
