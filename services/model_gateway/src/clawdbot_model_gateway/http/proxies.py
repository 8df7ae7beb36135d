"""The proxy of an endpoint, as HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name it.

Read once for each pool: aiohttp's own `trust_env` would read it in a thread for each request, and would send
the passwords of ~/.netrc to vendors.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.request import getproxies, proxy_bypass

import structlog
from clawdbot_servicekit.errors import StartupError
from yarl import URL

log = structlog.get_logger(__name__)

PROXY_SCHEME: Final = "http"
"""How the proxy itself is spoken to; the backend behind it may be https."""
_SEPARATORS: Final = re.compile(r"[,;\s]+")
"""Between the entries of NO_PROXY."""


def proxy_of(endpoint: URL) -> URL | None:
    """The proxy, which may contain credentials; None where the endpoint is reached directly.

    Raises:
        StartupError: what the variable contains is no URL.
    """
    address = f"{endpoint.host}:{endpoint.port}"
    variable = endpoint.scheme if endpoint.scheme in getproxies() else "all"
    configured = getproxies().get(variable)
    if not configured or proxy_bypass(address) or _is_excluded(endpoint.host or ""):
        return None
    try:
        proxy = URL(configured if "://" in configured else f"{PROXY_SCHEME}://{configured}")
    except ValueError:
        # Without its value, which may contain a password.
        variable = f"{variable}_proxy".upper()
        raise StartupError(f"{variable} is not a valid URL: write it like http://host:3128.") from None
    if proxy.scheme != PROXY_SCHEME or not proxy.host:
        log.warning("proxy_ignored", endpoint=address, detail=f"only {PROXY_SCHEME}:// proxies are supported")
        return None
    return proxy


def _is_excluded(host: str) -> bool:
    """Whether NO_PROXY names the host in a form that the standard library ignores.

    Such as a network of addresses, 10.0.0.0/8, or *.example.org. Names are not resolved for it, as curl and
    Go do not resolve them either.
    """
    entries = _SEPARATORS.split(getproxies().get("no", "").lower())
    return any(_names(entry.strip("[]").removesuffix("."), host) for entry in entries if entry)


def _names(entry: str, host: str) -> bool:
    if "/" not in entry:
        return fnmatchcase(host, entry)
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        return False
