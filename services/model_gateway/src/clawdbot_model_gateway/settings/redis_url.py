"""The URL of a Redis or Valkey, as settings have it."""

from __future__ import annotations

import re
from typing import Final

from clawdbot_servicekit.settings import Secret

REDIS_URL: Final = re.compile(r"(rediss?|unix)://\S+")


def redis_url(url: Secret | None) -> Secret | None:
    """The URL, if there is one.

    Raises:
        ValueError: it is none. The message does not show it, as it may have a password.
    """
    if url is not None and not REDIS_URL.fullmatch(url.get_secret_value()):
        raise ValueError("expected a URL such as redis://localhost:6379/0")
    return url
