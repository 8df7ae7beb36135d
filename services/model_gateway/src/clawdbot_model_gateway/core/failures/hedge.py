"""Asks a second target beside the first one when that takes long to begin; keeps the first to begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from clawdbot_model_gateway.core.attempt import CANCELLED, Attempt
from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import Event


class Runner:
    """An attempt that runs beside another one, up to its first content.

    Args:
        attempt: the attempt.
        events: of its reply, from the first content on; they are read once it has won.
    """

    def __init__(self, attempt: Attempt, events: AsyncGenerator[Event]) -> None:
        self.attempt = attempt
        self.events = events
        self.task = asyncio.create_task(self._first())
        """Ends with the first event."""

    async def _first(self) -> Event:
        return await anext(self.events)

    async def leave(self) -> None:
        """Ends the attempt, because the other one has won, or the call is over."""
        if self.task.cancel() or self.task.exception() is None:
            self.attempt.outcome = CANCELLED
        await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.exception()  # of its end, which is of no interest
        await self.events.aclose()


async def race(
    attempts: RequestAttempts,
    attempt: Attempt,
    start: Callable[[Attempt], Runner],
    *,
    delay: float,
    spend: Callable[[], bool],
) -> Runner | None:
    """The attempt that had content first; the other one is cancelled. None if both failed.

    The second one starts when the first has no content after the delay, if the budget allows it. A failure
    before that is left to the caller, who asks the next target in any case.

    Args:
        attempts: of the request; their next target is asked.
        attempt: the first one.
        start: begins an attempt.
        delay: seconds.
        spend: takes a hedge from the budget; False where none is left.

    Raises:
        ModelError: no other target can do better.
    """
    runners = [start(attempt)]
    winner = None
    try:
        await asyncio.wait([runners[0].task], timeout=delay)
        if not runners[0].task.done() and spend():
            runners.append(start(await anext(attempts)))
        running = [*runners]
        while running:
            await asyncio.wait([each.task for each in running], return_when=asyncio.FIRST_COMPLETED)
            for each in [each for each in running if each.task.done()]:
                running.remove(each)
                try:
                    each.task.result()
                except ModelError as error:
                    attempts.record_error(each.attempt, error)
                else:
                    winner = each
                    attempts.answered = each.attempt
                    return each
        return None
    finally:
        for each in runners:
            if each is not winner:
                await each.leave()
