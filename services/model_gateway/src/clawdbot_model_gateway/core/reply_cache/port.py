"""The port of a cache of replies. It holds bytes, and knows nothing of what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class CacheKey(NamedTuple):
    """What equal requests have in common."""

    tenant: str
    target: str
    """ "backend/model", the model by the vendor's name."""
    digest: bytes
    """Of everything that changes the reply, tenant and target included."""


class LookUp(NamedTuple):
    """What a cache has for a key."""

    reply: bytes | None = None
    stamp: bytes | None = None
    """What a reply that is generated now has to be stored with; None: the cache will not take it."""


class Entry(NamedTuple):
    """A reply to store; see `ReplyCache.put`."""

    key: CacheKey
    reply: bytes
    stamp: bytes | None


class CacheNotFlushed(Exception):
    """The cache could not be reached; what it had is still there."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class ReplyCache(Protocol):
    """A cache of replies. It MAY forget a reply at any time, and MUST NOT serve one after its time.

    Instances of one cache, also in other processes, MUST agree about flushes: after one has been flushed,
    none may return a reply that was stored before, nor one that is stored later with an earlier stamp.
    """

    async def start(self) -> None:
        """Opens what it needs. MUST NOT wait for a server, and MUST NOT fail when that is down.

        Raises:
            StartupError: for what an operator can fix on this machine.
        """

    async def stop(self) -> None:
        """Releases everything. MUST be safe without a start, and when called twice."""

    async def get(self, key: CacheKey) -> LookUp:
        """What it has for the key. MUST NOT raise, and MUST NOT take more than 5 ms, whatever is broken."""

    async def get_all(self, keys: Sequence[CacheKey]) -> Sequence[LookUp]:
        """As `get`, for one or more keys of one tenant and target, within the same 5 ms.

        Of a long list it MAY look only for the first.
        """

    def put(self, key: CacheKey, reply: bytes, *, ttl: float, stamp: bytes | None) -> None:
        """Stores a reply for `ttl` seconds. MUST neither wait nor raise, and MAY drop the reply.

        Args:
            key: of the request.
            reply: of any length; one that is too large is dropped.
            ttl: seconds, more than 0.
            stamp: of the look-up before the reply was generated.
        """

    def put_all(self, entries: Sequence[Entry], *, ttl: float) -> None:
        """As `put`, for several replies."""

    async def flush(self, tenant: str, target: str) -> int:
        """Removes the replies of a tenant (empty: all) to a target (empty: all).

        Returns:
            How many it has removed, as far as it knows.

        Raises:
            CacheNotFlushed: it could not be reached.
        """
