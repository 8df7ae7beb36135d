"""Turns addresses as people type them into addresses for gRPC."""

from __future__ import annotations

import re
from typing import Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.suite import PORTS

MAX_PORT: Final = 65_535
ADDRESS_PATTERN: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+)(:(?P<port>\d+))?", re.ASCII)
"""A host name, an IPv4 address or an IPv6 address in brackets, with an optional port."""


def connectable_host(listen_host: str) -> str:
    """The host that a client on this machine connects to for a server that listens on `listen_host`."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here
    return wildcards.get(listen_host, listen_host)


def parse_address(text: str) -> str:
    """The address for gRPC; without a port, the suite's default port is added.

    Raises:
        StartupError: the text is not an address.
    """
    if text.startswith("unix:"):
        return text
    if text.startswith("dns:///"):
        return f"dns:///{parse_address(text.removeprefix('dns:///'))}"
    bracketed = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    match = ADDRESS_PATTERN.fullmatch(bracketed)
    if match is None:
        raise StartupError(f"--addr {text}: not an address. Use HOST:PORT, for example 127.0.0.1:8080.")
    if match["port"] and not 1 <= int(match["port"]) <= MAX_PORT:
        raise StartupError(
            f"--addr {text}: there is no port {match['port']}. Use one from 1 to {MAX_PORT}, for example "
            f"{match[1]}:{PORTS['suite']}."
        )
    return bracketed if match["port"] else f"{bracketed}:{PORTS['suite']}"
