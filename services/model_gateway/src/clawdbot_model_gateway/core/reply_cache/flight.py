"""One call to a backend that equal requests share.

The call is a task of its own, since it outlives the request that began it. Each request follows the events at
its own pace and leaves when it likes; with the last one the call ends.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_UNSPECIFIED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    CACHE_STATUS_COALESCED,
    CACHE_STATUS_MISS,
    CACHE_STATUS_UNSPECIFIED,
    CacheStatus,
)
from clawdbot_servicekit import deadline

from clawdbot_model_gateway.core.attempt import Attempt
from clawdbot_model_gateway.core.errors import DeadlineUnreachable
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.limits.refusals import LimitReached

Call = Callable[[], Coroutine[Any, Any, None]]
"""Asks the backend, and adds the events of its reply."""


class Flight:
    """The shared call, with the attempts that follow it.

    One attempt pays for it: the first, and when that leaves before the usage is known, the next. Its cost is
    counted once, however many leave.

    Args:
        payer: the attempt that begins it.
        urgency: the priority of its request; lower is more urgent.
        on_end: called when nobody can join any more.
    """

    def __init__(self, payer: Attempt, urgency: int, on_end: Callable[[Flight], None]) -> None:
        self.urgency = urgency
        self.events: list[Event] = []
        """What the backend has said so far."""
        self.hit: CacheStatus.ValueType = CACHE_STATUS_UNSPECIFIED
        """The status where the events come from a cache after all."""
        self.expires_at = 0.0
        """When the last of its followers gives up (time.monotonic), so that a slot is of no use any more."""
        self._payer = payer
        self._followers: list[Attempt] = []
        self._refused: dict[Attempt, LimitReached] = {}
        """Those whose limits do not allow the call."""
        self._on_end = on_end
        self._news = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, call: Call) -> None:
        """Starts the call, which adds its events. It ends with all its followers at the latest."""
        self._task = asyncio.create_task(self._run(call))

    def add(self, event: Event) -> None:
        """Gives the next event to all."""
        self.events.append(event)
        self._wake()

    def record_usage(self, cost: Usage) -> None:
        """Notes the cost of a reply that nobody may see; as Attempt.record_usage."""
        self._payer.record_usage(cost)

    async def reserve(self) -> None:
        """Has the one who pays reserve what the call may use. Who may not leaves, and the next one pays.

        Raises:
            LimitReached: nobody may.
        """
        while True:
            payer = self._payer
            if payer.reserve is None:
                return
            try:
                await payer.reserve()
            except LimitReached as error:
                others = [each for each in self._followers if each is not payer]
                if not others:
                    raise
                if payer is self._payer:
                    self._refused[payer] = error
                    self._followers = others
                    self._payer = others[0]
                    payer.hand_over(self._payer)
                    self._wake()
            else:
                if payer is self._payer:
                    return

    async def follow(self, attempt: Attempt) -> AsyncGenerator[Event]:
        """All events for one attempt, from the first. Closing them leaves the call."""
        self._followers.append(attempt)
        left = deadline.outgoing_timeout()
        gives_up_at = math.inf if left is None else time.monotonic() + left
        self.expires_at = max(self.expires_at, min(gives_up_at, attempt.expires_at))
        attempt.free = attempt is not self._payer
        place = 0
        try:
            while True:
                while place < len(self.events):
                    event = self.events[place]
                    place += 1
                    if event.HasField("started"):
                        # Completed for each attempt on its own.
                        event = Event.FromString(event.SerializeToString())
                        self._set_status(attempt)
                    yield event
                if attempt in self._refused:
                    raise self._refused[attempt]
                if self._ended:
                    break
                await self._news.wait()
            if self._error is not None:
                raise _twin(self._error) from self._error
        finally:
            await self._leave(attempt)

    def _set_status(self, attempt: Attempt) -> None:
        if self.hit:
            attempt.free, attempt.cache_status = True, self.hit
        else:
            attempt.cache_status = CACHE_STATUS_COALESCED if attempt.free else CACHE_STATUS_MISS

    async def _leave(self, attempt: Attempt) -> None:
        if attempt in self._refused:
            return
        self._followers.remove(attempt)
        if self._followers:
            if attempt is self._payer and attempt.usage.provenance == USAGE_PROVENANCE_UNSPECIFIED:
                self._payer = self._followers[0]
                attempt.hand_over(self._payer)
            return
        self._on_end(self)
        if self._task is not None:
            if not self._ended:
                self._task.cancel()
            # The connection is closed and the slot is free before the request ends.
            await asyncio.wait([self._task])

    async def _run(self, call: Call) -> None:
        # It would inherit the deadline of the first follower. Each has its own, and leaves with it.
        deadline.enter_deadline(None)
        try:
            await self._make(call)
        except asyncio.CancelledError as error:
            self._error = error
            raise
        except Exception as error:  # noqa: BLE001 - raised again in all followers
            self._error = error
        finally:
            self._ended = True
            self._on_end(self)
            self._wake()

    async def _make(self, call: Call) -> None:
        """Makes the call; once more where those who had no time left to wait were joined by one who has."""
        while True:
            known = self.expires_at
            try:
                return await call()
            except DeadlineUnreachable:
                if self.expires_at <= known:
                    raise

    def _wake(self) -> None:
        self._news.set()
        self._news.clear()


def _twin(error: BaseException) -> BaseException:
    """An equal error: each follower adds to its own which targets it has tried."""
    twin = type(error).__new__(type(error))
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin
