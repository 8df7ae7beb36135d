"""At most once: calls with one request id share one run in this process, and one outcome ever after."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Final

import structlog
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import canonical

from clawdbot_plugins.core.errors import OutcomeUnknown, RequestIdReused, ToolBusy
from clawdbot_plugins.core.idempotency_store import CallId, Claim, Ledger, LedgerUnavailable
from clawdbot_plugins.core.single_flight import Emit, News, Outcome, Run

ASK_AGAIN: Final = 0.03
"""Seconds between two looks at a call that another process is running."""

NOT_BEGUN: Final = (ToolBusy, InvalidRequest)
"""What a tool's work raises before any of the tool's own code has run."""


class OnceOnly:
    """Runs once-only calls by the ledger's leave."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._running: dict[CallId, tuple[bytes, Run]] = {}
        self._log = structlog.get_logger(__name__)

    async def follow(
        self,
        call: CallId,
        arguments: Mapping[str, Any],
        work: Callable[[Emit], Awaitable[Outcome]],
        *,
        again: bool,
    ) -> AsyncGenerator[News]:
        """What the call tells: from its own run, from the run of an equal call, or from the ledger.

        Args:
            call: which call.
            arguments: as the caller gave them.
            work: runs the tool; raises one of NOT_BEGUN where it did not come to that.
            again: whether a call that was broken off may be run again.

        Raises:
            RequestIdReused: the id stands for other arguments.
            OutcomeUnknown: the call was broken off, and `again` is false.
        """
        digest = hashlib.sha256(canonical(arguments)).digest()
        while (found := self._running.get(call)) is not None and found[1].ending:
            await found[1].ended()
        if found is None:
            run = Run(lambda emit: self._claimed(call, digest, work, emit, again=again), call.tool)
            self._running[call] = digest, run
            run.on_end(lambda: self._forget(call))
        elif found[0] == digest:
            run = found[1]
        else:
            raise RequestIdReused(call.tool, call.request_id)
        async with aclosing(run.follow()) as news:
            async for each in news:
                yield each

    def _forget(self, call: CallId) -> None:
        self._running.pop(call, None)

    async def _claimed(
        self,
        call: CallId,
        digest: bytes,
        work: Callable[[Emit], Awaitable[Outcome]],
        emit: Emit,
        *,
        again: bool,
    ) -> Outcome:
        # A loop that sleeps: no event crosses from the process that runs the call to this one.
        while (claim := await self._claim(call, digest, again=again)) is Claim.ELSEWHERE:  # noqa: ASYNC110
            await asyncio.sleep(ASK_AGAIN)
        if isinstance(claim, Outcome):
            return claim
        if claim is Claim.OTHER_ARGUMENTS:
            raise RequestIdReused(call.tool, call.request_id)
        if claim is Claim.BROKEN_OFF:
            raise OutcomeUnknown(call.tool, call.request_id)
        try:
            outcome = await work(emit)
        except NOT_BEGUN:
            await self._write(self._ledger.release(call), call)
            raise
        except BaseException:
            await self._write(self._ledger.abandon(call), call)
            raise
        await self._write(self._ledger.settle(call, outcome), call)
        return outcome

    async def _claim(self, call: CallId, digest: bytes, *, again: bool) -> Claim | Outcome:
        """A claim that is cancelled while the ledger writes must not stay behind."""
        claiming = asyncio.ensure_future(self._ledger.claim(call, digest, again=again))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await asyncio.wait((claiming,))
            if not claiming.cancelled() and not claiming.exception() and claiming.result() is Claim.GRANTED:
                await self._ledger.release(call)
            raise

    async def _write(self, write: Coroutine[Any, Any, None], call: CallId) -> None:
        """Finishes a write and only then lets a cancellation through.

        A ledger that fails now does not change what the tool did, so the caller still hears that; a later
        call with the same id will find one that was broken off.
        """
        writing = asyncio.ensure_future(write)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait((writing,))
            raise
        except LedgerUnavailable as error:
            self._log.error("outcome_not_written", tool=call.tool, reason=error.explanation)
