"""Addresses as people write them, and as gRPC wants them."""

from __future__ import annotations

from clawdbot_servicekit import ports
from clawdbot_servicekit.faults import StartupError
from clawdbot_servicekit.settings.shared import PORTS


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
    if "/" in text or not text.strip():
        raise StartupError(f"--addr {text}: this is no address. Write HOST:PORT, such as 127.0.0.1:8080.")
    if text.startswith("["):
        return text if "]:" in text else f"{text}:{PORTS['suite']}"
    host, _, port = text.rpartition(":")
    if ":" in host:
        return f"[{text}]:{PORTS['suite']}"  # an IPv6 address
    return text if host and port.isdecimal() else ports.target(text, PORTS["suite"])
