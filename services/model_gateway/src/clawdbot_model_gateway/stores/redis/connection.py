"""How the stores reach a Redis or Valkey, and what its failures are."""

from __future__ import annotations

from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

FAILURES: Final = (Exception,)
"""What a command raises whose server does not do what it should: where something else answers than a Redis,
the client's parser raises anything. `log_bug` tells a bug of ours apart."""


def connect(url: str, timeout: float, max_connections: int | None = None) -> Redis:
    """A client that connects with its first command, and tries each command once.

    Args:
        url: redis://, rediss:// or unix://.
        timeout: seconds after which a connection that does not answer is given up.
        max_connections: at the same time; None: no limit.

    Raises:
        ValueError: the URL is not valid. Its text may have the password.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        max_connections=max_connections,
        retry=Retry(NoBackoff(), 0),
    )


def failure_text(error: BaseException) -> str:
    """What is wrong, without the error's text, which has the address and perhaps a password."""
    log_bug(error)
    return f"Redis fails ({type(error).__name__})"


def log_bug(error: BaseException) -> None:
    """Logs the traceback of an error that neither a server nor its connection caused: perhaps our bug."""
    if not isinstance(error, (RedisError, OSError)):
        structlog.get_logger(__name__).error("redis_command_broken", exc_info=error)
