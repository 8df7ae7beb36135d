"""Runs once-only calls at most once: calls with one request id share one run, and later its outcome."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

import structlog
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import canonical_json

from clawdbot_plugins.core.errors import OutcomeUnknown, RequestIdReused, ToolBusy, ToolUnavailable
from clawdbot_plugins.core.idempotency_store import (
    CallId,
    ClaimResult,
    IdempotencyStore,
    IdempotencyStoreUnavailable,
)
from clawdbot_plugins.core.single_flight import Emit, SharedRun, ToolEvent, ToolOutcome

POLL_INTERVAL: Final = 0.03
"""Seconds between two checks of a call that another process is running."""

NOT_STARTED: Final = (ToolBusy, ToolUnavailable, InvalidRequest)
"""What running a tool raises if the tool had no effect: its own code never ran, or said so."""


class IdempotentExecutor:
    """Executes once-only calls, each only after it has claimed the call in the idempotency store."""

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._running: dict[CallId, tuple[bytes, SharedRun]] = {}
        self._log = structlog.get_logger(__name__)

    async def execute(
        self,
        call: CallId,
        arguments: Mapping[str, Any],
        work: Callable[[Emit], Awaitable[ToolOutcome]],
        *,
        allow_rerun: bool,
    ) -> AsyncGenerator[ToolEvent]:
        """Yields the call's events: from its own run, from the run of an equal call, or from the store.

        Args:
            call: which call.
            arguments: as the caller sent them.
            work: runs the tool; raises one of NOT_STARTED if the tool had no effect.
            allow_rerun: whether an interrupted call may be run again.

        Raises:
            RequestIdReused: the id was used with other arguments.
            OutcomeUnknown: an earlier call was interrupted, and `allow_rerun` is false.
        """
        digest = hashlib.sha256(canonical_json(arguments)).digest()
        while (running := self._running.get(call)) is not None and running[1].abandoned:
            await running[1].wait()
        if running is None:
            run = SharedRun(
                lambda emit: self._run_claimed(call, digest, work, emit, allow_rerun=allow_rerun), call.tool
            )
            self._running[call] = digest, run
            run.add_done_callback(lambda: self._forget(call))
        elif running[0] == digest:
            run = running[1]
        else:
            raise RequestIdReused(call.tool, call.request_id)
        async with aclosing(run.subscribe()) as events:
            async for event in events:
                yield event

    def _forget(self, call: CallId) -> None:
        self._running.pop(call, None)

    async def _run_claimed(
        self,
        call: CallId,
        digest: bytes,
        work: Callable[[Emit], Awaitable[ToolOutcome]],
        emit: Emit,
        *,
        allow_rerun: bool,
    ) -> ToolOutcome:
        # It polls: the process that runs the call has no way to notify this one.
        while (  # noqa: ASYNC110
            claim := await self._claim(call, digest, allow_rerun=allow_rerun)
        ) is ClaimResult.RUNNING_ELSEWHERE:
            await asyncio.sleep(POLL_INTERVAL)
        if isinstance(claim, ToolOutcome):
            return claim
        if claim is ClaimResult.ARGUMENTS_MISMATCH:
            raise RequestIdReused(call.tool, call.request_id)
        if claim is ClaimResult.INTERRUPTED:
            raise OutcomeUnknown(call.tool, call.request_id)
        try:
            outcome = await work(emit)
        except NOT_STARTED:
            await self._write(self._store.release, call)
            raise
        except BaseException:
            await self._write(self._store.mark_interrupted, call)
            raise
        await self._write(self._store.complete, call, outcome)
        return outcome

    async def _claim(self, call: CallId, digest: bytes, *, allow_rerun: bool) -> ClaimResult | ToolOutcome:
        """Claims the call. If cancelled while the store writes, it releases what was granted."""
        claiming = asyncio.ensure_future(self._store.claim(call, digest, allow_rerun=allow_rerun))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await asyncio.wait((claiming,))
            if (
                not claiming.cancelled()
                and not claiming.exception()
                and claiming.result() is ClaimResult.GRANTED
            ):
                await self._store.release(call)
            raise

    async def _write(
        self, write: Callable[..., Awaitable[None]], call: CallId, *outcome: ToolOutcome
    ) -> None:
        """Completes a write before it lets a cancellation through.

        A store that fails now does not change what the tool did, so the caller still gets the outcome. To a
        later call with the same id, this one was interrupted.
        """
        try:
            writing = asyncio.ensure_future(write(call, *outcome))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait((writing,))
                raise
        except IdempotencyStoreUnavailable as error:
            self._log.error("outcome_not_written", tool=call.tool, reason=error.explanation)
