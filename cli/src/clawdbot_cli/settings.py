"""The suite's one configuration: every service's settings in one class."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from clawdbot_dialogue.settings import DialogueSettings
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_servicekit.settings import load
from clawdbot_servicekit.settings.suite import PORTS

CHAT_VARIABLES = frozenset({"CLAWDBOT_API_KEY"})
"""Variables of the chat; here they would be unknown keys."""


class SuiteSettings(DialogueSettings, GatewaySettings, PluginsSettings):
    """The whole configuration: one instance for all three services."""

    default_port: ClassVar[int] = PORTS["suite"]


def suite_settings(path: Path | None, overrides: Mapping[str, object]) -> SuiteSettings:
    """The configuration from file, environment and command line; the later beats the earlier.

    Args:
        path: what --config says.
        overrides: dotted key → value.

    Raises:
        StartupError: one line for each thing that is wrong.
    """
    environ = {name: value for name, value in os.environ.items() if name not in CHAT_VARIABLES}
    return load(SuiteSettings, path, environ, overrides)
