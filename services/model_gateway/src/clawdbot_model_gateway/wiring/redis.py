"""Says what is wrong with a URL of a Redis that is written like one, but is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clawdbot_servicekit.errors import StartupError


@contextmanager
def redis_at(config_path: str) -> Iterator[None]:
    """For what connects to the URL of that setting; a ValueError becomes a StartupError."""
    try:
        yield
    except ValueError:
        # Without the error's text, which may have the password.
        raise StartupError(
            f"{config_path}: not a valid URL; write one such as redis://localhost:6379/0."
        ) from None
