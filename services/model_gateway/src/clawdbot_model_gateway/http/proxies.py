"""The proxy of an endpoint, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY name it.

Read once for each pool: aiohttp's own `trust_env` would read it in a thread for each request, and would send
the passwords of ~/.netrc to vendors.
"""

from __future__ import annotations

from typing import Final
from urllib.request import getproxies, proxy_bypass

import structlog
from yarl import URL

log = structlog.get_logger(__name__)

PROXY_SCHEME: Final = "http"
"""How the proxy itself is spoken to; the backend behind it may be https."""


def proxy_of(endpoint: URL) -> URL | None:
    """The proxy, which may contain credentials; None where the endpoint is reached directly."""
    address = f"{endpoint.host}:{endpoint.port}"
    configured = getproxies().get(endpoint.scheme)
    if not configured or proxy_bypass(address):
        return None
    proxy = URL(configured if "://" in configured else f"{PROXY_SCHEME}://{configured}")
    if proxy.scheme != PROXY_SCHEME or not proxy.host:
        log.warning("proxy_ignored", endpoint=address, detail=f"only {PROXY_SCHEME}:// proxies are supported")
        return None
    return proxy
