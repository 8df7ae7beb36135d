"""The metrics of the cache of replies."""

from __future__ import annotations

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

REDIS_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0)
"""Seconds; a look-up is given up after 5 ms."""


class CacheMetrics:
    """The metrics, in no registry yet."""

    def __init__(self) -> None:
        self._requests = Counter(
            "clawdbot_reply_cache_requests",
            "Attempts that used the cache, by backend and result: hit_memory, hit_redis, hit_similar, "
            "coalesced or miss.",
            ("backend", "result"),
            registry=None,
        )
        self._request = cache(self._requests.labels)
        """A counter by its labels. In prometheus_client a look-up takes a lock, and longer than counting."""
        self.texts = Counter(
            "clawdbot_reply_cache_texts",
            "Texts to embed that used the cache, by backend and result: hit_memory, hit_redis or miss.",
            ("backend", "result"),
            registry=None,
        )
        self.similar = Counter(
            "clawdbot_reply_cache_similar",
            "Searches for a request with the same meaning, by result: hit, miss or failed.",
            ("result",),
            registry=None,
        )
        self.entries = Gauge(
            "clawdbot_reply_cache_entries",
            "Replies in memory.",
            registry=None,
            multiprocess_mode="livesum",
        )
        self.bytes = Gauge(
            "clawdbot_reply_cache_bytes",
            "Size of the replies in memory.",
            registry=None,
            multiprocess_mode="livesum",
        )
        self.evictions = Counter(
            "clawdbot_reply_cache_evictions",
            "Replies that left the memory to make room, or found none.",
            registry=None,
        )
        self.redis_errors = Counter(
            "clawdbot_reply_cache_redis_errors",
            "Failures of Redis, by operation and reason: error, slow, dropped or corrupt.",
            ("operation", "reason"),
            registry=None,
        )
        self.redis_seconds = Histogram(
            "clawdbot_reply_cache_redis_seconds",
            "How long Redis took, by operation.",
            ("operation",),
            buckets=REDIS_BUCKETS,
            registry=None,
        )

    def count_request(self, backend: str, result: str) -> None:
        """Counts an attempt that used the cache."""
        self._request(backend, result).inc()

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """All of them, for a registry."""
        return (
            self._requests,
            self.texts,
            self.similar,
            self.entries,
            self.bytes,
            self.evictions,
            self.redis_errors,
            self.redis_seconds,
        )
