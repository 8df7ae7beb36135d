"""One call on its path: what it is given on the way in, and what is told and remembered of it at its end."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import grpc
import grpc.aio

from clawdbot_servicekit import tracing
from clawdbot_servicekit.call_record import CallRecord, begin_notes
from clawdbot_servicekit.caller import Caller, enter_caller
from clawdbot_servicekit.deadline import enter_deadline, remaining
from clawdbot_servicekit.error_table import Description, ErrorTable
from clawdbot_servicekit.errors import DeadlineExpired, MalformedMessage, RemoteError
from clawdbot_servicekit.pipeline.types import UNDECODABLE, Context, Pipeline, TrustedContext

OK: Final = grpc.StatusCode.OK.name
GONE: Final = grpc.StatusCode.CANCELLED.name
EXPIRED: Final = grpc.StatusCode.DEADLINE_EXCEEDED.name
BY_NUMBER: Final = {each.value[0]: each.name for each in grpc.StatusCode}


class CallScope:
    """One call on its path, and what is to be remembered of it."""

    __slots__ = (
        *("_began", "_caller", "_context", "_counted", "_errors", "_expired", "_inside", "_method", "_notes"),
        *("_pipeline", "_reason", "_task", "_timer", "code"),
    )

    def __init__(self, pipeline: Pipeline, errors: ErrorTable, method: str, context: Context) -> None:
        self._began = time.perf_counter()
        self._pipeline = pipeline
        self._errors = errors
        self._method = method
        self._context = context
        self._notes = begin_notes()
        self._inside = isinstance(context, TrustedContext)
        self._counted = False
        self._expired = False
        self._caller: Caller | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self.code = OK

    def enter(self, request: Any) -> None:
        """Admission, identity, deadline; raises faults where one of them says no."""
        pipeline, context = self._pipeline, self._context
        if not self._inside:
            pipeline.admission.enter()
            self._counted = True
        metadata: Any = context.invocation_metadata()
        tracing.extract(metadata)
        if isinstance(context, TrustedContext):
            caller = context.caller
        else:
            caller = pipeline.identify(metadata, self._method)
        self._caller = caller
        enter_caller(caller)
        given = context.time_remaining()
        seconds = pipeline.deadlines.of(given)
        enter_deadline(seconds)
        # The caller's own deadline is kept by the transport, on both sides: a second timer would only race.
        if seconds != given:
            self._task = asyncio.current_task()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)
        if request is UNDECODABLE:
            raise MalformedMessage(self._method.lstrip("/"))

    async def fail(self, error: BaseException) -> None:
        """Ends the call with the status that the error means; returns when there is nobody to tell.

        Raises:
            AbortError: after the status was sent.
            CancelledError: when the caller turned out to be gone.
        """
        context = self._context
        if context.done():
            # The servicer has aborted, and that is the error.
            self.code = status_name(context.code())
            return
        told = self._cancelled() if isinstance(error, asyncio.CancelledError) else error
        if told is None or isinstance(told, grpc.aio.InternalError):
            # gRPC's word for a batch that failed: the stream is gone, and so is the caller.
            self.code = EXPIRED if remaining() == 0 else GONE
            if told is not None:
                raise asyncio.CancelledError from None
            return
        description = self._errors.describe(told)
        self.code, self._reason = description.code.name, description.reason
        await end(context, description)

    def leave(self) -> None:
        """The call has ended, however it did."""
        if self._timer is not None:
            self._timer.cancel()
            if self._expired and self._task is not None:
                self._task.uncancel()
        if self._counted:
            self._pipeline.admission.leave()
        caller = self._caller
        self._pipeline.observe(
            CallRecord(
                self._method,
                self.code,
                self._reason,
                time.perf_counter() - self._began,
                caller.tenant if caller else "",
                caller.key_id if caller else "",
                self._inside,
                self._notes,
            )
        )

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    def _cancelled(self) -> Exception | None:
        """What a CancelledError means; None where the caller went away."""
        task = asyncio.current_task()
        orders = task.cancelling() if task is not None else 0
        if self._expired and orders == 1:
            return DeadlineExpired()
        # Nobody has cancelled this call: something that it waited for was, as by a channel that closes.
        return None if orders else RemoteError(GONE, "", "")


async def end(context: Context, description: Description) -> None:
    """Ends the call with this status, beside what trailing metadata the servicer has set.

    Raises:
        AbortError: after the status was sent.
        CancelledError: when the caller turned out to be gone.
    """
    trailing: Any = (*context.trailing_metadata(), *description.trailing_metadata())
    try:
        await context.abort(description.code, description.message, trailing)
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


def status_name(code: Any) -> str:
    """The name of a status as a servicer may have set it: nothing, the constant or its number."""
    if code is None:
        return OK
    return code.name if isinstance(code, grpc.StatusCode) else BY_NUMBER.get(code, "UNKNOWN")
