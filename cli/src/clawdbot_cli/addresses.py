"""Addresses as people write them, and as gRPC wants them."""

from __future__ import annotations

import re
from typing import Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.suite import PORTS

ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+)(:(?P<port>\d{1,5}))?")
"""A host, an IPv6 address in brackets, and perhaps a port."""


def reachable(host: str) -> str:
    """Where a server on this machine is reached that listens on the host."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here


def address_of(text: str) -> str:
    """What the person typed as an address for gRPC; without a port, the suite's.

    Raises:
        StartupError: for what is no address.
    """
    if text.startswith(("unix:", "dns:///")):
        return text
    bracketed = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    match = ADDRESS.fullmatch(bracketed)
    if match is None:
        raise StartupError(f"--addr {text}: this is no address. Write HOST:PORT, such as 127.0.0.1:8080.")
    return bracketed if match["port"] else f"{bracketed}:{PORTS['suite']}"
