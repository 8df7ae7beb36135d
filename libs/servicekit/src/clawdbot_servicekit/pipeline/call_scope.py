"""The scope of one call: sets its caller and deadline, and at its end sends the status and records it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import grpc
import grpc.aio

from clawdbot_servicekit import tracing
from clawdbot_servicekit.call_record import CallRecord, begin_annotations
from clawdbot_servicekit.caller import Caller, enter_caller
from clawdbot_servicekit.deadline import enter_deadline, remaining
from clawdbot_servicekit.error_table import ErrorStatus, ErrorTable
from clawdbot_servicekit.errors import DeadlineExpired, RemoteError
from clawdbot_servicekit.pipeline.types import Context, Pipeline, TrustedContext

OK: Final = grpc.StatusCode.OK.name
CANCELLED: Final = grpc.StatusCode.CANCELLED.name
DEADLINE_EXCEEDED: Final = grpc.StatusCode.DEADLINE_EXCEEDED.name
NAME_BY_NUMBER: Final = {each.value[0]: each.name for each in grpc.StatusCode}


class CallScope:
    """One call from `enter` to `exit`, and what is to be recorded of it."""

    __slots__ = (
        *(
            "_admitted",
            "_annotations",
            "_caller",
            "_context",
            "_errors",
            "_expired",
            "_in_process",
            "_method",
        ),
        *("_pipeline", "_reason", "_started_at", "_task", "_timer", "code"),
    )

    def __init__(self, pipeline: Pipeline, errors: ErrorTable, method: str, context: Context) -> None:
        self._started_at = time.perf_counter()
        self._pipeline = pipeline
        self._errors = errors
        self._method = method
        self._context = context
        self._annotations = begin_annotations()
        self._in_process = isinstance(context, TrustedContext)
        self._admitted = False
        self._expired = False
        self._caller: Caller | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self.code = OK

    def enter(self) -> None:
        """Admits the call, identifies its caller, sets its deadline; raises a ServiceError to refuse it."""
        pipeline, context = self._pipeline, self._context
        if not self._in_process:
            pipeline.admission.enter()
            self._admitted = True
        metadata: Any = context.invocation_metadata()
        tracing.extract(metadata)
        if isinstance(context, TrustedContext):
            caller = context.caller
        else:
            caller = pipeline.identify(metadata, self._method, context.peer)
        self._caller = caller
        enter_caller(caller)
        requested = context.time_remaining()
        seconds = pipeline.deadlines.clamp(requested)
        enter_deadline(seconds)
        # The transport enforces the caller's own deadline on both sides: a second timer would only race it.
        if seconds != requested:
            self._task = asyncio.current_task()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    async def fail(self, error: BaseException) -> None:
        """Ends the call with the status of the error; returns if the caller has disconnected.

        Raises:
            AbortError: after the status was sent.
            CancelledError: if the caller turned out to be disconnected.
        """
        context = self._context
        if isinstance(error, grpc.aio.AbortError) or context.done():
            # The servicer has aborted, and that is the error.
            self.code = status_name(context.code())
            return
        cause = self._cancellation_cause() if isinstance(error, asyncio.CancelledError) else error
        if cause is None or isinstance(cause, grpc.aio.InternalError):
            # gRPC raises InternalError for a batch that failed: the stream is closed, the caller is gone.
            self.code = DEADLINE_EXCEEDED if remaining() == 0 else CANCELLED
            if cause is not None:
                raise asyncio.CancelledError from None
            return
        status = self._errors.describe(cause)
        self.code, self._reason = status.code.name, status.reason
        try:
            await abort(context, status)
        except asyncio.CancelledError:
            self.code, self._reason = CANCELLED, ""
            raise

    def exit(self) -> None:
        """Releases the call and records it, however it ended."""
        if self._timer is not None:
            self._timer.cancel()
            if self._expired and self._task is not None:
                self._task.uncancel()
        if self._admitted:
            self._pipeline.admission.leave()
        caller = self._caller
        self._pipeline.observe(
            CallRecord(
                self._method,
                self.code,
                self._reason,
                time.perf_counter() - self._started_at,
                caller.tenant if caller else "",
                caller.key_id if caller else "",
                self._in_process,
                self._annotations,
            )
        )

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    def _cancellation_cause(self) -> Exception | None:
        """The error that a CancelledError stands for; None if the caller has disconnected."""
        task = asyncio.current_task()
        requests = task.cancelling() if task is not None else 0
        if self._expired and requests == 1:
            return DeadlineExpired()
        # Nobody cancelled this call. Something that it awaited was cancelled, such as a call on a channel
        # that was closed.
        return None if requests else RemoteError(CANCELLED, "", "")


async def abort(context: Context, status: ErrorStatus) -> None:
    """Ends the call with this status, and with the trailing metadata that the servicer has set.

    Raises:
        AbortError: after the status was sent.
        CancelledError: if the caller turned out to be disconnected.
    """
    trailing: Any = (*context.trailing_metadata(), *status.trailing_metadata())
    try:
        await context.abort(status.code, status.message, trailing)
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


def status_name(code: Any) -> str:
    """The name of a status in any form that a servicer may set: None, the constant or its number."""
    if code is None:
        return OK
    return code.name if isinstance(code, grpc.StatusCode) else NAME_BY_NUMBER.get(code, "UNKNOWN")
