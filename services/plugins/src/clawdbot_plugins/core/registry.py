"""The registry: holds the current snapshot and notifies watchers of the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from clawdbot_servicekit.errors import NotReady

from clawdbot_plugins.core.registry_snapshot import RegisteredPlugin, RegistrySnapshot


class Registry:
    """Replaces snapshots as a whole, so that a call sees one snapshot from start to end."""

    def __init__(self) -> None:
        self._snapshot: RegistrySnapshot | None = None
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def snapshot(self) -> RegistrySnapshot:
        """The current snapshot. NotReady before the first one: an empty registry would skip every gate."""
        if self._snapshot is None:
            raise NotReady("plugins", "they are starting")
        return self._snapshot

    def publish(self, plugins: Iterable[RegisteredPlugin]) -> None:
        """Publishes a new snapshot of the plugins, which applies from the next call on."""
        revision = self._snapshot.revision + 1 if self._snapshot else 1
        self._snapshot = RegistrySnapshot.from_plugins(revision, plugins)
        self._notify()

    def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        self._notify()

    async def watch(self) -> AsyncGenerator[RegistrySnapshot]:
        """Yields the current snapshot, then each newer one; a slow reader skips those in between."""
        last_revision = 0
        while not self._closed:
            changed, snapshot = self._changed, self._snapshot
            if snapshot is not None and snapshot.revision > last_revision:
                last_revision = snapshot.revision
                yield snapshot
            else:
                await changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
