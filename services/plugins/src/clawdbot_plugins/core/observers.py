"""Delivers events to observe hooks: from bounded queues, in separate tasks, without delaying the caller."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from dataclasses import replace
from typing import Final

import structlog
from clawdbot_plugin_sdk import Context, Subject

from clawdbot_plugins.core.exception_fields import exception_fields
from clawdbot_plugins.core.hooks import hook_label
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.registry_snapshot import RegisteredHook
from clawdbot_plugins.core.task_runner import TaskRunner, TaskTimedOut

DRAIN_TIMEOUT: Final = 5.0
"""Seconds that stop waits for queued events to be delivered."""

Event = tuple[Subject, Context]


class Observers:
    """One queue for each observe hook, created with its first event."""

    def __init__(self, registry: Registry, task_runner: TaskRunner, *, queue_size: int) -> None:
        """Starts without queues.

        Args:
            registry: knows the hooks.
            task_runner: runs them.
            queue_size: maximum number of events that wait for one hook; more are dropped and counted.
        """
        self._registry = registry
        self._task_runner = task_runner
        self._queue_size = queue_size
        self._queues: dict[RegisteredHook, _ObserverQueue] = {}
        self._stopped = False
        self._log = structlog.get_logger(__name__)

    @property
    def dropped(self) -> int:
        """Events dropped because a hook's queue was full, since the start."""
        return sum(queue.dropped for queue in self._queues.values())

    def notify(self, subject: Subject, context: Context) -> int:
        """Queues the event for every hook of its point. Returns how many queues were full; 0 after stop."""
        full = 0
        if self._stopped:
            return full
        for hook in self._registry.snapshot.hooks.get(("observe", subject.point), ()):
            queue = self._queues.get(hook)
            if queue is None:
                queue = self._queues[hook] = _ObserverQueue(hook, self._task_runner, self._queue_size)
            full += not queue.put((subject, context))
        return full

    async def stop(self) -> None:
        """Waits up to DRAIN_TIMEOUT for the queues to drain, then closes them."""
        self._stopped = True
        queues = list(self._queues.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await asyncio.gather(*(queue.join() for queue in queues))
        discarded = await asyncio.gather(*(queue.close() for queue in queues))
        if sum(discarded):
            self._log.warning("events_discarded", reason="stopped", events=sum(discarded))


class _ObserverQueue:
    """One hook's queue and the tasks that consume it."""

    def __init__(self, hook: RegisteredHook, task_runner: TaskRunner, size: int) -> None:
        self._hook = hook
        self._task_runner = task_runner
        self._events: asyncio.Queue[Event] = asyncio.Queue(size)
        self._log = structlog.get_logger(__name__)
        self.dropped = 0
        self._missed = 0
        self._tasks = [
            # An empty context: later events must not inherit the contextvars of the call that sent the first.
            asyncio.create_task(
                self._consume(), name=f"observer queue of {hook_label(hook)}", context=contextvars.Context()
            )
            for _ in range(min(hook.max_in_flight, size))
        ]

    def put(self, event: Event) -> bool:
        """Queues the event. False if the queue was full and the event was dropped."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1
            self._missed += 1
            # Log at powers of two only: many drops must not fill the log.
            if self.dropped & (self.dropped - 1) == 0:
                self._log.warning("event_dropped", hook=hook_label(self._hook), total=self.dropped)
            return False
        return True

    async def join(self) -> None:
        """Returns when every queued event was delivered."""
        await self._events.join()

    async def close(self) -> int:
        """Cancels the tasks and returns the number of undelivered events."""
        discarded = self._events.qsize()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return discarded

    async def _consume(self) -> None:
        while True:
            subject, context = await self._events.get()
            missed, self._missed = self._missed, 0
            try:
                await self._deliver(subject, replace(context, missed=missed))
            finally:
                self._events.task_done()

    async def _deliver(self, subject: Subject, context: Context) -> None:
        hook = self._hook
        try:
            # The number of consumer tasks is the limit. It is doubled here so that hooks that ignore their
            # cancellation do not block the queue.
            await self._task_runner.run(
                hook_label(hook),
                lambda: hook.run(subject, context),
                timeout_seconds=hook.timeout,
                limit=2 * hook.max_in_flight,
            )
        except TaskTimedOut:
            self._log.warning("hook_failed", hook=hook_label(hook), reason="TaskTimedOut")
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the next event is still delivered
            self._log.warning("hook_failed", hook=hook_label(hook), **exception_fields(error))
