"""Replies in Redis or Valkey, shared by all replicas.

It is a convenience and never a dependency: a look-up waits 5 ms at most, writing waits for nothing, and while
the server fails it is asked once a second. Keys and values hold no names of tenants or models, but a value
holds the reply in plain text: the server has to be one that may see it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import structlog
from redis.exceptions import InvalidResponse
from typing_extensions import override

from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheKey, CacheNotFlushed, Entry, LookUp, ReplyCache
from clawdbot_model_gateway.stores.redis.connection import connect, log_bug

BUDGET: Final = 0.004
"""Seconds that a look-up waits. The port allows 5 ms; the event loop needs the rest."""
SOCKET_TIMEOUT: Final = 1.0
"""Seconds after which a connection that does not answer is given up. Nobody waits for it."""
FLUSH_TIMEOUT: Final = 5.0
MAX_COMMANDS: Final = 64
"""Commands under way at the same time; what comes on top is a miss, or is not stored."""
MAX_KEYS: Final = 128
"""Replies in one look-up, so that a long list does not take its 5 ms from the next look-ups."""
MAX_REPLY_BYTES: Final = 1024 * 1024
MAX_FAILURES: Final = 3
"""In a row, after which the server is left alone for a while."""
PAUSE: Final = 1.0
"""Seconds between two attempts while it fails."""
STAMP_BYTES: Final = 16
MAX_TTL: Final = 86_400.0
"""Seconds: the longest that gateway.cache.max_ttl may be, and so a reply of any gateway may be there."""

PREFIX: Final = "clawdbot:replies:2"


@dataclass(slots=True)
class _Health:
    """How one kind of command fares: a server may refuse to write, and still read."""

    failures: int = 0
    """In a row."""
    resume_at: float = 0.0

    def may_try(self) -> bool:
        """Once a second after some failures in a row."""
        if self.failures >= MAX_FAILURES:
            now = time.monotonic()
            if now < self.resume_at:
                return False
            self.resume_at = now + PAUSE
        return True


class RedisReplyCache(ReplyCache):
    """Keeps the replies under their digests, each with the stamp of the flushes that concern it.

    Args:
        url: redis://, rediss:// or unix://.
        metrics: errors and times.
    """

    def __init__(self, url: str, metrics: CacheMetrics) -> None:
        self._redis = connect(url, SOCKET_TIMEOUT, MAX_COMMANDS + 1)
        self._metrics = metrics
        self._tasks: set[asyncio.Task[Any]] = set()
        self._health = {operation: _Health() for operation in ("get", "get_all", "put")}
        self._log = structlog.get_logger(__name__)

    @override
    async def start(self) -> None:
        """The first connection takes longer than a look-up may wait, so it is made now."""
        self._spawn(self._read("get", [CacheKey("", "", b"")]))

    @override
    async def stop(self) -> None:
        for each in self._tasks:
            each.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._redis.aclose()

    @override
    async def get(self, key: CacheKey) -> LookUp:
        (found,) = await self._look_up("get", [key])
        return found

    @override
    async def get_all(self, keys: Sequence[CacheKey]) -> Sequence[LookUp]:
        found = await self._look_up("get_all", keys[:MAX_KEYS])
        return [*found, *[LookUp()] * (len(keys) - len(found))]

    @override
    def put(self, key: CacheKey, reply: bytes, *, ttl: float, stamp: bytes | None) -> None:
        self.put_all([Entry(key, reply, stamp)], ttl=ttl)

    @override
    def put_all(self, entries: Sequence[Entry], *, ttl: float) -> None:
        values = {
            _reply_name(each.key): each.stamp + each.reply
            for each in entries
            if each.stamp is not None and len(each.reply) <= MAX_REPLY_BYTES
        }
        if values and self._may_ask("put"):
            self._spawn(self._write(values, max(1, round(min(ttl, MAX_TTL) * 1000))))

    @override
    async def flush(self, tenant: str, target: str) -> int:
        """What was stored is found no more, and goes when its time is over; it is not counted."""
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                # It stays as long as any reply that was stored before. It is random: the server may forget a
                # counter, and that would then have an old value again.
                stored = await self._redis.set(
                    _flush_name(tenant, target),
                    secrets.token_hex(STAMP_BYTES),
                    px=round(MAX_TTL * 1000) + 1000,
                )
            if stored is not True:
                raise InvalidResponse("not OK")
        except Exception as error:  # as in _read
            log_bug(error)
            self._metrics.redis_errors.labels("flush", "error").inc()
            raise CacheNotFlushed(type(error).__name__) from error
        return 0

    async def _look_up(self, operation: str, keys: Sequence[CacheKey]) -> Sequence[LookUp]:
        if self._may_ask(operation):
            task: asyncio.Task[Sequence[LookUp]] = self._spawn(self._read(operation, keys))
            await asyncio.wait([task], timeout=BUDGET)
            if task.done() and not task.cancelled():
                return task.result()
            self._note_failure(operation, "slow")
        return [LookUp()] * len(keys)

    async def _read(self, operation: str, keys: Sequence[CacheKey]) -> Sequence[LookUp]:
        tenant, target = keys[0].tenant, keys[0].target
        flushes = [_flush_name(*each) for each in (("", ""), (tenant, ""), ("", target), (tenant, target))]
        started_at = time.perf_counter()
        try:
            answer = await self._redis.mget(map(_reply_name, keys), *flushes)
            found = _look_ups(keys, answer)
        except Exception as error:  # noqa: BLE001 - the client's parser raises anything where no Redis answers
            self._note_failure(operation, "error", error)
            return [LookUp()] * len(keys)
        seconds = time.perf_counter() - started_at
        self._metrics.redis_seconds.labels(operation).observe(seconds)
        if self._health[operation].failures and seconds <= BUDGET:
            # It is back, so writing is worth a try as well.
            for each in self._health.values():
                each.failures = 0
        return found

    async def _write(self, values: dict[str, bytes], milliseconds: int) -> None:
        started_at = time.perf_counter()
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for name, value in values.items():
                    pipeline.set(name, value, px=milliseconds)
                await pipeline.execute()
        except Exception as error:  # noqa: BLE001 - as in _read
            self._note_failure("put", "error", error)
        else:
            self._health["put"].failures = 0
            self._metrics.redis_seconds.labels("put").observe(time.perf_counter() - started_at)

    def _may_ask(self, operation: str) -> bool:
        """Whether a command may be sent now."""
        if not self._health[operation].may_try():
            return False
        if len(self._tasks) >= MAX_COMMANDS:
            self._metrics.redis_errors.labels(operation, "dropped").inc()
            return False
        return True

    def _note_failure(self, operation: str, reason: str, error: BaseException | None = None) -> None:
        if error is not None:
            log_bug(error)
        self._metrics.redis_errors.labels(operation, reason).inc()
        health = self._health[operation]
        health.failures += 1
        if health.failures == MAX_FAILURES:
            health.resume_at = time.monotonic() + PAUSE
            # Without the error's text, which has the address and perhaps a password.
            name = reason if error is None else type(error).__name__
            self._log.warning("reply_cache_fails", operation=operation, error=name)

    def _spawn(self, command: Coroutine[Any, Any, Sequence[LookUp] | None]) -> asyncio.Task[Any]:
        """Runs a command that may take longer than its caller waits; `stop` ends it."""
        task = asyncio.create_task(command)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _look_ups(keys: Sequence[CacheKey], answer: Sequence[object]) -> Sequence[LookUp]:
    """What an answer says about the keys: their values, then the marks of four flushes.

    Raises:
        InvalidResponse: it is no such answer.
    """
    values = [b"" if each is None else each for each in answer if each is None or isinstance(each, bytes)]
    if len(values) != len(answer) or len(values) != len(keys) + 4:
        raise InvalidResponse("not one value per key")
    marks = b"\0".join(values[len(keys) :])
    found = []
    for key, value in zip(keys, values, strict=False):
        # With the digest: the answer to another command is nobody's reply, should a connection mix them up.
        stamp = blake2b(marks + key.digest, digest_size=STAMP_BYTES).digest()
        fits = value[:STAMP_BYTES] == stamp and len(value) <= STAMP_BYTES + MAX_REPLY_BYTES
        found.append(LookUp(value[STAMP_BYTES:] if fits else None, stamp))
    return found


def _reply_name(key: CacheKey) -> str:
    return f"{PREFIX}:reply:{key.digest.hex()}"


def _flush_name(tenant: str, target: str) -> str:
    scope = blake2b(f"{tenant}\0{target}".encode(), digest_size=STAMP_BYTES)
    return f"{PREFIX}:flush:{scope.hexdigest()}"
