"""One run of a tool, shared by every caller that sent the same request id while it runs.

A run lasts as long as it has a subscriber: when the last one leaves early, the run is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clawdbot_plugin_sdk import Attachment, Partial, Progress


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The result of a call; the last event that a subscriber gets."""

    text: str
    """For a model."""
    structured: Mapping[str, Any] | None
    """The same as an object; None if the tool returns nothing, and for an error."""
    is_error: bool = False
    replayed: bool = False
    """True for the outcome of an earlier call with the same request id."""
    attachments: tuple[Attachment, ...] = ()


ToolEvent = Progress | Partial | ToolOutcome
Emit = Callable[[Progress | Partial], Awaitable[None]]


class SharedRun:
    """Starts immediately. Ends with a ToolOutcome, or with an exception that every subscriber gets."""

    def __init__(self, work: Callable[[Emit], Awaitable[ToolOutcome]], label: str) -> None:
        self._subscribers: set[_Subscriber] = set()
        self._task: asyncio.Task[ToolOutcome] = asyncio.create_task(self._run(work), name=f"run of {label}")
        self._task.add_done_callback(self._on_done)
        self.abandoned = False
        """True once the last subscriber has left: too late to subscribe."""

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Calls back when the run has ended, successfully or not."""
        self._task.add_done_callback(lambda _: callback())

    async def wait(self) -> None:
        """Returns when the run has ended, successfully or not."""
        await asyncio.wait((self._task,))

    async def subscribe(self) -> AsyncGenerator[ToolEvent]:
        """Yields every event from now on, the ToolOutcome last. Cancels the run if its last reader leaves."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            while not (subscriber.empty and self._task.done()):
                if (event := await subscriber.get()) is not None:
                    yield event
            yield self._task.result()
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers and not self._task.done():
                self.abandoned = True
                self._task.cancel()
                await asyncio.wait((self._task,))

    async def _run(self, work: Callable[[Emit], Awaitable[ToolOutcome]]) -> ToolOutcome:
        return await work(self._emit)

    async def _emit(self, event: Progress | Partial) -> None:
        for subscriber in self._subscribers:
            subscriber.put(event)
        # Without this, a tool that emits in a loop without awaiting would block its readers and cancellation.
        await asyncio.sleep(0)

    def _on_done(self, task: asyncio.Task[ToolOutcome]) -> None:
        for subscriber in self._subscribers:
            subscriber.put(None)
        if not self._subscribers and not task.cancelled():
            task.exception()  # retrieved, because no subscriber is left to raise it to


class _Subscriber:
    """The events that one subscriber has not read yet.

    Progress that is superseded before it is read is dropped, and the invoker limits partial output: a slow
    reader costs little memory, and a tool never waits for it.
    """

    def __init__(self) -> None:
        self._unread: deque[Progress | Partial | None] = deque()
        self._filled = asyncio.Event()

    @property
    def empty(self) -> bool:
        return not self._unread

    def put(self, event: Progress | Partial | None) -> None:
        if self._unread and isinstance(event, Progress) and isinstance(self._unread[-1], Progress):
            self._unread.pop()
        self._unread.append(event)
        self._filled.set()

    async def get(self) -> Progress | Partial | None:
        while not self._unread:
            self._filled.clear()
            await self._filled.wait()
        return self._unread.popleft()
