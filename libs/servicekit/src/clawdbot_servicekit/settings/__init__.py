"""One YAML file and the environment, read once, strictly, into a frozen model.

Nothing else in Clawdbot reads the environment. A service derives its one class from SharedSettings.
"""

from clawdbot_servicekit.settings.loader import load
from clawdbot_servicekit.settings.shared import SECTIONS, SharedSettings
from clawdbot_servicekit.settings.values import Bytes, ConfigPath, Seconds, Secret, Section

__all__ = ["SECTIONS", "Bytes", "ConfigPath", "Seconds", "Secret", "Section", "SharedSettings", "load"]
