"""Replies in Redis or Valkey, shared by all replicas.

It is a convenience and never a dependency: a look-up waits 5 ms at most, writing waits for nothing, and while
the server fails it is asked once a second. Keys and values hold no names of tenants or models, but a value
holds the reply in plain text: the server has to be one that may see it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine
from hashlib import blake2b
from typing import Any, Final, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from typing_extensions import override

from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheKey, CacheNotFlushed, LookUp, ReplyCache

BUDGET: Final = 0.004
"""Seconds that a look-up waits. The port allows 5 ms; the event loop needs the rest."""
SOCKET_TIMEOUT: Final = 1.0
"""Seconds after which a connection that does not answer is given up. Nobody waits for it."""
FLUSH_TIMEOUT: Final = 5.0
MAX_COMMANDS: Final = 64
"""Commands under way at the same time; what comes on top is a miss, or is not stored."""
MAX_REPLY_BYTES: Final = 1024 * 1024
MAX_FAILURES: Final = 3
"""In a row, after which the server is left alone for a while."""
PAUSE: Final = 1.0
"""Seconds between two attempts while it fails."""
STAMP_BYTES: Final = 16

PREFIX: Final = "clawdbot:replies:1"
FAILURES: Final = (RedisError, OSError, TimeoutError)


class RedisReplyCache(ReplyCache):
    """Keeps the replies under their digests, each with the stamp of the flushes that concern it.

    Args:
        url: redis://, rediss:// or unix://.
        max_ttl: seconds; no reply is served longer.
        metrics: errors and times.
    """

    def __init__(self, url: str, max_ttl: float, metrics: CacheMetrics) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT,
            socket_connect_timeout=SOCKET_TIMEOUT,
            max_connections=MAX_COMMANDS + 1,
            retry=Retry(NoBackoff(), 0),
        )
        self._max_ttl = max_ttl
        self._metrics = metrics
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures = 0
        self._resume_at = 0.0
        self._log = structlog.get_logger(__name__)

    @override
    async def start(self) -> None:
        """The first connection takes longer than a look-up may wait, so it is made now."""
        self._spawn(self._read(CacheKey("", "", b"")))

    @override
    async def stop(self) -> None:
        for each in self._tasks:
            each.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._redis.aclose()

    @override
    async def get(self, key: CacheKey) -> LookUp:
        if not self._may_ask("get"):
            return LookUp()
        task: asyncio.Task[LookUp] = self._spawn(self._read(key))
        await asyncio.wait([task], timeout=BUDGET)
        if task.done() and not task.cancelled():
            return task.result()
        self._note_failure("get", "slow")
        return LookUp()

    @override
    def put(self, key: CacheKey, reply: bytes, *, ttl: float, stamp: bytes | None) -> None:
        if stamp is not None and len(reply) <= MAX_REPLY_BYTES and self._may_ask("put"):
            self._spawn(self._write(key, stamp + reply, max(1, round(min(ttl, self._max_ttl) * 1000))))

    @override
    async def flush(self, tenant: str, target: str) -> int:
        """What was stored is found no more, and goes when its time is over; it is not counted."""
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                # As long as a reply that was stored before can be there. It is no counter, which would begin
                # anew when the server has forgotten it.
                await self._redis.set(
                    _flush_name(tenant, target),
                    secrets.token_hex(STAMP_BYTES),
                    px=max(1, round(self._max_ttl * 1000)) + 1000,
                )
        except FAILURES as error:
            self._note_failure("flush", "error", error)
            raise CacheNotFlushed(type(error).__name__) from error
        return 0

    async def _read(self, key: CacheKey) -> LookUp:
        names = (("", ""), (key.tenant, ""), ("", key.target), (key.tenant, key.target))
        started_at = time.perf_counter()
        try:
            flushes = [_flush_name(*each) for each in names]
            answer = await self._redis.mget(_reply_name(key), *flushes)
        except FAILURES as error:
            self._note_failure("get", "error", error)
            return LookUp()
        seconds = time.perf_counter() - started_at
        self._metrics.redis_seconds.labels("get").observe(seconds)
        if seconds <= BUDGET:
            self._failures = 0
        value, *marks = cast("list[bytes | None]", answer)
        stamp = blake2b(b"\0".join(each or b"" for each in marks), digest_size=STAMP_BYTES).digest()
        if value is None or value[:STAMP_BYTES] != stamp:
            return LookUp(None, stamp)
        return LookUp(value[STAMP_BYTES:], stamp)

    async def _write(self, key: CacheKey, value: bytes, milliseconds: int) -> None:
        started_at = time.perf_counter()
        try:
            await self._redis.set(_reply_name(key), value, px=milliseconds)
        except FAILURES as error:
            self._note_failure("put", "error", error)
        else:
            self._metrics.redis_seconds.labels("put").observe(time.perf_counter() - started_at)

    def _may_ask(self, operation: str) -> bool:
        """Whether a command may be sent now: one a second while the server fails."""
        if self._failures >= MAX_FAILURES:
            now = time.monotonic()
            if now < self._resume_at:
                return False
            self._resume_at = now + PAUSE
        if len(self._tasks) >= MAX_COMMANDS:
            self._metrics.redis_errors.labels(operation, "dropped").inc()
            return False
        return True

    def _note_failure(self, operation: str, reason: str, error: BaseException | None = None) -> None:
        self._metrics.redis_errors.labels(operation, reason).inc()
        self._failures += 1
        if self._failures == MAX_FAILURES:
            self._resume_at = time.monotonic() + PAUSE
            # Without the error's text, which has the address and perhaps a password.
            self._log.warning("reply_cache_fails", operation=operation, error=type(error).__name__)

    def _spawn(self, command: Coroutine[Any, Any, LookUp | None]) -> asyncio.Task[Any]:
        """Runs a command that may take longer than its caller waits; `stop` ends it."""
        task = asyncio.create_task(command)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _reply_name(key: CacheKey) -> str:
    return f"{PREFIX}:reply:{key.digest.hex()}"


def _flush_name(tenant: str, target: str) -> str:
    scope = blake2b(f"{tenant}\0{target}".encode(), digest_size=STAMP_BYTES)
    return f"{PREFIX}:flush:{scope.hexdigest()}"
