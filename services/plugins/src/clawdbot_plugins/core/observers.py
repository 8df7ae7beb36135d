"""Tells observe hooks what has happened: from bounded queues, by tasks of its own, never in anybody's way."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from dataclasses import replace
from typing import Final

import structlog
from clawdbot_plugin_sdk import Context, Subject

from clawdbot_plugins.core.exception_logging import without_words
from clawdbot_plugins.core.hooks import label
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.registry_snapshot import Hook
from clawdbot_plugins.core.task_runner import Bodies, OutOfTime

FAREWELL: Final = 5.0
"""Seconds that stop waits for queued events to be told."""

Event = tuple[Subject, Context]


class Observers:
    """One lane for each observe hook, made when its first event comes."""

    def __init__(self, registry: Registry, bodies: Bodies, *, queue: int) -> None:
        """No lanes yet.

        Args:
            registry: says which hooks there are.
            bodies: runs them.
            queue: events waiting for one hook; more are dropped and counted.
        """
        self._registry = registry
        self._bodies = bodies
        self._queue = queue
        self._lanes: dict[Hook, _Lane] = {}
        self._stopped = False
        self._log = structlog.get_logger(__name__)

    @property
    def dropped(self) -> int:
        """Events that a hook was not told because its queue was full, since the start."""
        return sum(lane.dropped for lane in self._lanes.values())

    def tell(self, subject: Subject, context: Context) -> int:
        """Queues the event for every hook of its point. Returns how many queues were full; 0 after stop."""
        full = 0
        if self._stopped:
            return full
        for hook in self._registry.snapshot.hooks.get(("observe", subject.point), ()):
            lane = self._lanes.get(hook)
            if lane is None:
                lane = self._lanes[hook] = _Lane(hook, self._bodies, self._queue)
            full += not lane.put((subject, context))
        return full

    async def stop(self) -> None:
        """Lets the queues run empty, for a moment at most, and ends the lanes."""
        self._stopped = True
        lanes = list(self._lanes.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await asyncio.gather(*(lane.drained() for lane in lanes))
        left = await asyncio.gather(*(lane.close() for lane in lanes))
        if sum(left):
            self._log.warning("events_not_told", reason="stopped", events=sum(left))


class _Lane:
    """One hook's queue and the tasks that empty it."""

    def __init__(self, hook: Hook, bodies: Bodies, size: int) -> None:
        self._hook = hook
        self._bodies = bodies
        self._events: asyncio.Queue[Event] = asyncio.Queue(size)
        self._log = structlog.get_logger(__name__)
        self.dropped = 0
        self._missed = 0
        self._tasks = [
            # A context of its own: the call that brought the first event has no part in the others.
            asyncio.create_task(self._work(), name=f"lane of {label(hook)}", context=contextvars.Context())
            for _ in range(min(hook.max_in_flight, size))
        ]

    def put(self, event: Event) -> bool:
        """Whether there was room."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1
            self._missed += 1
            # Powers of two: a flood of drops must not become a flood of lines.
            if self.dropped & (self.dropped - 1) == 0:
                self._log.warning("event_dropped", hook=label(self._hook), total=self.dropped)
            return False
        return True

    async def drained(self) -> None:
        """Returns when everything queued was told."""
        await self._events.join()

    async def close(self) -> int:
        """Ends the tasks; how many events were left."""
        left = self._events.qsize()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return left

    async def _work(self) -> None:
        while True:
            subject, context = await self._events.get()
            missed, self._missed = self._missed, 0
            try:
                await self._tell(subject, replace(context, missed=missed))
            finally:
                self._events.task_done()

    async def _tell(self, subject: Subject, context: Context) -> None:
        hook = self._hook
        try:
            # The lane's own tasks are the limit; a body that ignores its cancellation must not stop the lane.
            await self._bodies.run(
                label(hook),
                lambda: hook.run(subject, context),
                seconds=hook.timeout,
                limit=2 * hook.max_in_flight,
            )
        except OutOfTime:
            self._log.warning("hook_failed", hook=label(hook), reason="OutOfTime")
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the next event is told all the same
            self._log.warning("hook_failed", hook=label(hook), **without_words(error))
