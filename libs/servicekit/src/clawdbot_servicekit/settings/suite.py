"""The one configuration file of the suite: which service owns which section, port, address and scope.

All services may read the same file, so each must know which keys belong to the others: a misspelled key is an
error, another service's key is not. This is the only module of the kit that names the services.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, field_validator

from clawdbot_servicekit.settings.values import Section
from clawdbot_servicekit.suggestions import nearest_or_all

SECTIONS: Final = {
    "dialogue": ("flows", "stores", "dialogue", "media"),
    "model_gateway": ("model", "models", "gateway", "limits", "media"),
    "plugins": ("plugins", "tools", "hooks"),
}
"""Service → the top-level keys that it reads, beside those of every service. A service that runs alone
ignores the others' keys."""

PORTS: Final = {"suite": 8080, "dialogue": 8081, "model_gateway": 8082, "plugins": 8083}
"""The default port of each service when it runs alone, and the suite's."""

SCOPES: Final = (
    "dialogue",
    "dialogue.admin",
    "models",
    "models.admin",
    "plugins",
    "plugins.admin",
    "tools",
    "hooks",
)
"""What a key may have. The contracts say which method needs which (clawdbot.common.v1.scope)."""

DEFAULT_SCOPES: Final = frozenset({"dialogue", "models", "plugins", "tools"})
"""What a key has that names no scopes: nothing that changes the installation, nor the hooks, which are for
services."""


def known_scope(name: str) -> str:
    """The name of a scope that a key can have.

    Raises:
        ValueError: for any other name, with the nearest right one.
    """
    if name not in SCOPES:
        raise ValueError(f"not a scope{nearest_or_all(name.lower(), SCOPES)}")
    return name


Scope = Annotated[str, AfterValidator(known_scope)]


class PeerSettings(Section):
    """Addresses of services in other processes: host:port, dns:///name:port or unix:/path.

    A service needs each peer that has an address to be ready, and runs without those that have none.
    """

    dialogue: str | None = None
    model_gateway: str | None = None
    plugins: str | None = None

    @field_validator("*")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(
            r"unix:\S+|(dns:///)?[^\s:/]+:\d{1,5}|(dns:///)?\[[0-9a-fA-F:]+\]:\d{1,5}", address
        ):
            raise ValueError("expected an address such as 127.0.0.1:8082, dns:///name:8082 or unix:/path")
        return address
