"""The suite's one configuration: the settings of all services in one class."""

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

CLIENT_VARIABLES = frozenset({"CLAWDBOT_API_KEY"})
"""Variables that are for commands which call services; to the suite they would be unknown keys."""


class SuiteSettings(DialogueSettings, GatewaySettings, PluginsSettings):
    """The whole configuration: one instance for all three services."""

    default_port: ClassVar[int] = PORTS["suite"]


def suite_settings(path: Path | None, overrides: Mapping[str, object]) -> SuiteSettings:
    """The configuration from file, environment and command line; later sources override earlier ones.

    Args:
        path: the value of --config.
        overrides: dotted key → value.

    Raises:
        StartupError: one line for each thing that is wrong.
    """
    environ = {name: value for name, value in os.environ.items() if name not in CLIENT_VARIABLES}
    return load(SuiteSettings, path, environ, overrides)
