"""Replies in the memory of one worker, bounded by their bytes.

The counters of flushes are shared, so that a flush in another worker takes effect here at once; the memory of
what cannot be served any more is freed when its time is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moka_py import Moka
from typing_extensions import override

from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheKey, Entry, LookUp, ReplyCache
from clawdbot_model_gateway.stores.file.flush_counters import FlushCounters

ENTRY_BYTES: Final = 600
"""What an entry takes beside its reply: key, indexes and Python's objects."""


@dataclass(frozen=True, slots=True)
class _Stored:
    key: CacheKey
    reply: bytes
    stamp: bytes

    @property
    def size(self) -> int:
        return len(self.reply) + ENTRY_BYTES


class InMemoryReplyCache(ReplyCache):
    """Keeps the replies that are asked for most often and most recently (TinyLFU).

    Args:
        capacity: bytes.
        counters: of flushes.
        metrics: entries, bytes and evictions.
    """

    def __init__(self, capacity: int, counters: FlushCounters, metrics: CacheMetrics) -> None:
        self._counters = counters
        self._metrics = metrics
        self._entries: Moka[bytes, _Stored] = Moka(
            capacity, eviction_listener=self._removed, weigher=lambda _, entry: entry.size
        )
        self._by_scope: defaultdict[tuple[str, str], set[bytes]] = defaultdict(set)
        """Tenant and target → digests."""

    @override
    async def start(self) -> None:
        self._counters.open()

    @override
    async def stop(self) -> None:
        self._entries.clear()
        self._counters.close()

    @override
    async def get(self, key: CacheKey) -> LookUp:
        stamp = self._counters.stamp(key.tenant, key.target)
        entry = self._entries.get(key.digest)
        if entry is not None and entry.stamp != stamp:
            self._entries.remove(key.digest)
            entry = None
        return LookUp(None if entry is None else entry.reply, stamp)

    @override
    async def get_all(self, keys: Sequence[CacheKey]) -> Sequence[LookUp]:
        return [await self.get(each) for each in keys]

    @override
    def put(self, key: CacheKey, reply: bytes, *, ttl: float, stamp: bytes | None) -> None:
        self.put_all([Entry(key, reply, stamp)], ttl=ttl)

    @override
    def put_all(self, entries: Sequence[Entry], *, ttl: float) -> None:
        for key, reply, stamp in entries:
            if stamp is None or stamp != self._counters.stamp(key.tenant, key.target):
                continue
            stored = _Stored(key, reply, stamp)
            self._by_scope[key.tenant, key.target].add(key.digest)
            self._metrics.entries.inc()
            self._metrics.bytes.inc(stored.size)
            self._entries.set(key.digest, stored, ttl=ttl)
        # Eviction is lazy; the bound is not.
        self._entries.run_pending_tasks()

    @override
    async def flush(self, tenant: str, target: str) -> int:
        self._counters.count(tenant, target)
        scopes = [each for each in self._by_scope if tenant in ("", each[0]) and target in ("", each[1])]
        digests = [digest for scope in scopes for digest in self._by_scope[scope]]
        removed = [digest for digest in digests if self._entries.remove(digest) is not None]
        self._entries.run_pending_tasks()
        return len(removed)

    def _removed(self, digest: bytes, entry: _Stored, cause: str) -> None:
        """An entry has left, or has been replaced."""
        self._metrics.entries.dec()
        self._metrics.bytes.dec(entry.size)
        if cause == "size":
            self._metrics.evictions.inc()
        if cause != "replaced":
            scope = entry.key.tenant, entry.key.target
            self._by_scope[scope].discard(digest)
            if not self._by_scope[scope]:
                del self._by_scope[scope]
