"""One run of a tool, followed by the one caller that began it or by several with the same request id.

A run lives as long as somebody follows it: when the last one leaves early, it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clawdbot_plugin_sdk import Attachment, Partial, Progress


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to; the last thing that a follower is told."""

    text: str
    """For a model."""
    structured: Mapping[str, Any] | None
    """The same as an object; None where the tool returns nothing, and for a failure."""
    is_error: bool = False
    replayed: bool = False
    """True for the outcome of an earlier call with the same request id."""
    attachments: tuple[Attachment, ...] = ()


News = Progress | Partial | Outcome
Emit = Callable[[Progress | Partial], Awaitable[None]]


class Run:
    """Starts at once. Ends with an Outcome, or with an exception that every follower gets."""

    def __init__(self, work: Callable[[Emit], Awaitable[Outcome]], label: str) -> None:
        self._followers: set[_Mailbox] = set()
        self._task: asyncio.Task[Outcome] = asyncio.create_task(self._work(work), name=f"run of {label}")
        self._task.add_done_callback(self._tell_end)
        self.ending = False
        """True once nobody follows it any more: too late to join."""

    def on_end(self, call: Callable[[], None]) -> None:
        """Calls back when it has ended in whatever way."""
        self._task.add_done_callback(lambda _: call())

    async def ended(self) -> None:
        """Returns when it has ended in whatever way."""
        await asyncio.wait((self._task,))

    async def follow(self) -> AsyncGenerator[News]:
        """What it tells from now on, the Outcome last. Leaving early counts: see above."""
        mailbox = _Mailbox()
        self._followers.add(mailbox)
        try:
            while not (mailbox.empty and self._task.done()):
                if (news := await mailbox.get()) is not None:
                    yield news
            yield self._task.result()
        finally:
            self._followers.discard(mailbox)
            if not self._followers and not self._task.done():
                self.ending = True
                self._task.cancel()
                await asyncio.wait((self._task,))

    async def _work(self, work: Callable[[Emit], Awaitable[Outcome]]) -> Outcome:
        return await work(self._emit)

    async def _emit(self, news: Progress | Partial) -> None:
        for mailbox in self._followers:
            mailbox.put(news)
        # A tool that tells much and waits for nothing would keep the loop from those who read, and cancel.
        await asyncio.sleep(0)

    def _tell_end(self, task: asyncio.Task[Outcome]) -> None:
        for mailbox in self._followers:
            mailbox.put(None)
        if not self._followers and not task.cancelled():
            task.exception()  # taken note of: nobody is left to raise it to


class _Mailbox:
    """What one follower has not read.

    Progress that is overtaken before it is read is dropped, and whoever emits partial output bounds it: a
    slow reader costs little, and a tool never waits for one.
    """

    def __init__(self) -> None:
        self._unread: deque[Progress | Partial | None] = deque()
        self._filled = asyncio.Event()

    @property
    def empty(self) -> bool:
        return not self._unread

    def put(self, news: Progress | Partial | None) -> None:
        if self._unread and isinstance(news, Progress) and isinstance(self._unread[-1], Progress):
            self._unread.pop()
        self._unread.append(news)
        self._filled.set()

    async def get(self) -> Progress | Partial | None:
        while not self._unread:
            self._filled.clear()
            await self._filled.wait()
        return self._unread.popleft()
