"""Asks a second target beside the first one when that takes long to begin; keeps the first to begin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from clawdbot_model_gateway.core.attempt import CANCELLED, Attempt
from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import Event, Send

Ask = Callable[[Attempt, Send], Awaitable[None]]
"""Sends the reply of an attempt."""


class Runner:
    """An attempt that runs beside another one, up to its first content; the rest follows once it has won."""

    def __init__(self, attempt: Attempt, ask: Ask, send: Send) -> None:
        self.attempt = attempt
        self.begun = asyncio.get_running_loop().create_future()
        """Done when there is content, or there will be none."""
        self._send = send
        self._won = asyncio.Event()
        self.task = asyncio.ensure_future(ask(attempt, self._send_if_won))
        self.task.add_done_callback(self._end)

    async def finish(self) -> None:
        """Sends the reply, as this attempt has won; raises what it ends with."""
        self._won.set()
        await self.task

    def leave(self) -> None:
        """Begins to end the attempt, because the other one has won, or the call is over."""
        if self.task.cancel() or self.task.cancelled() or self.task.exception() is None:
            self.attempt.outcome = CANCELLED

    async def _send_if_won(self, events: Iterable[Event]) -> None:
        self._begin()
        await self._won.wait()
        await self._send(events)

    def _begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)

    def _end(self, task: asyncio.Future[None]) -> None:
        self._begin()
        if not task.cancelled():
            task.exception()  # nobody may be left who asks for it


async def race(
    attempts: RequestAttempts,
    attempt: Attempt,
    ask: Ask,
    send: Send,
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
        ask: sends the reply of an attempt.
        send: takes that of the winner.
        delay: seconds.
        spend: takes a hedge from the budget; False where none is left.

    Raises:
        ModelError: no other target can do better.
    """
    runners = [Runner(attempt, ask, send)]
    winner = None
    try:
        await asyncio.wait([runners[0].begun], timeout=delay)
        if not runners[0].begun.done() and spend():
            runners.append(Runner(await anext(attempts), ask, send))
        running = [*runners]
        while running:
            await asyncio.wait([each.begun for each in running], return_when=asyncio.FIRST_COMPLETED)
            for each in [each for each in running if each.begun.done()]:
                running.remove(each)
                if not each.task.done():
                    winner = each
                    attempts.answered = each.attempt
                    return each
                try:
                    each.task.result()
                    each.attempt.end()
                except ModelError as error:
                    attempts.record_error(each.attempt, error)
        return None
    finally:
        await _leave([each for each in runners if each is not winner], winner)


async def _leave(losers: Sequence[Runner], winner: Runner | None) -> None:
    """Ends attempts; also the winner, which would wait for ever, if the call is cancelled meanwhile."""
    for each in losers:
        each.leave()
    ending = [each.task for each in losers if not each.task.done()]
    if not ending:
        return
    try:
        await asyncio.wait(ending)
    except asyncio.CancelledError:
        if winner is not None:
            winner.leave()
            ending.append(winner.task)
        await asyncio.wait(ending)
        raise
