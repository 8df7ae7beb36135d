"""One call's way through the server, the same for all four kinds of RPC.

It raises nothing of its own towards gRPC but what ends a call: AbortError after a status was sent, and
CancelledError when the caller went away.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import MalformedMessage
from clawdbot_servicekit.pipeline.call_scope import CallScope, end, status_name
from clawdbot_servicekit.pipeline.types import UNDECODABLE, Context, Pipeline, Work


class CallHandler:
    """One RPC in its pipeline: `run` takes the place of the servicer's method."""

    def __init__(self, pipeline: Pipeline, errors: ErrorTable, method: str, work: Work) -> None:
        self._pipeline = pipeline
        self._errors = errors
        self._method = method
        self._work = work

    async def run(self, request: Any, context: Context) -> Any:
        """Works the call off; a failure ends it with a described status."""
        visit = CallScope(self._pipeline, self._errors, self._method, context)
        try:
            visit.enter(request)
            reply = await self._work(request, context)
            visit.code = status_name(context.code())
        except (Exception, asyncio.CancelledError) as error:
            await visit.fail(error)
            raise
        finally:
            visit.leave()
        return reply


class ExemptCallHandler:
    """One RPC that anybody may call at any time (health, reflection): nothing but the error table."""

    def __init__(self, errors: ErrorTable, method: str, work: Work) -> None:
        self._errors = errors
        self._method = method
        self._work = work

    async def run(self, request: Any, context: Context) -> Any:
        """Works the call off; a failure ends it with a described status."""
        try:
            if request is UNDECODABLE:
                raise MalformedMessage(self._method.lstrip("/"))
            return await self._work(request, context)
        except Exception as error:
            if isinstance(error, grpc.aio.InternalError) or context.done():
                raise
            await end(context, self._errors.describe(error))
