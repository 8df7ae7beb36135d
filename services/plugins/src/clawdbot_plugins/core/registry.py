"""The registry: which snapshot holds now, and who wants to hear of the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from clawdbot_servicekit.errors import NotReady

from clawdbot_plugins.core.registry_snapshot import Plugin, Snapshot


class Registry:
    """Swaps whole snapshots, so that a call that began with one ends with it."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def snapshot(self) -> Snapshot:
        """What holds now. NotReady before the first one: an empty registry would let every gate pass."""
        if self._snapshot is None:
            raise NotReady("plugins", "they are starting")
        return self._snapshot

    def publish(self, plugins: Iterable[Plugin]) -> None:
        """Makes these the plugins, from the next call on."""
        revision = self._snapshot.revision + 1 if self._snapshot else 1
        self._snapshot = Snapshot.of(revision, plugins)
        self._wake()

    def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        self._wake()

    async def watch(self) -> AsyncGenerator[Snapshot]:
        """The snapshot that holds, then each newer one; a slow reader misses those in between."""
        told = 0
        while not self._closed:
            changed, snapshot = self._changed, self._snapshot
            if snapshot is not None and snapshot.revision > told:
                told = snapshot.revision
                yield snapshot
            else:
                await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
