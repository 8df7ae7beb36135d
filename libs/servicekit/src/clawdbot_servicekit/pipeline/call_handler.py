"""Handles one call, in the same way for all four kinds of RPC.

A single request is read here, or at least decoded, after the call was admitted and its caller identified: on
grpcio a refused call costs no more than its headers, however large the message.

Towards gRPC it raises only what ends a call: AbortError after a status was sent, and CancelledError when the
caller has disconnected.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.pipeline.call_scope import CallScope, abort, status_name
from clawdbot_servicekit.pipeline.types import Context, Encode, Handler, Pipeline, Request


class CallHandler:
    """One RPC in its pipeline: `run` replaces the servicer's method."""

    def __init__(
        self,
        pipeline: Pipeline,
        errors: ErrorTable,
        method: str,
        *,
        request: Request,
        handler: Handler,
        encode: Encode,
    ) -> None:
        self._pipeline = pipeline
        self._errors = errors
        self._request = request
        self._method = method
        self._handler = handler
        self._encode = encode

    async def run(self, requests: Any, context: Context) -> Any:
        """Runs the handler; maps exceptions to a gRPC status."""
        scope = CallScope(self._pipeline, self._errors, self._method, context)
        try:
            scope.enter()
            request = await self._request(requests, context)
            response = await self._handler(request, context)
            if response is not None:
                response = self._encode(response)
            scope.code = status_name(context.code())
        except (Exception, asyncio.CancelledError) as error:
            await scope.fail(error)
            raise
        finally:
            scope.exit()
        return response


class ExemptCallHandler:
    """One RPC that everyone may call at any time (health, reflection): only the error table applies."""

    def __init__(self, errors: ErrorTable, request: Request, handler: Handler) -> None:
        self._errors = errors
        self._request = request
        self._handler = handler

    async def run(self, requests: Any, context: Context) -> Any:
        """Runs the handler; maps exceptions to a gRPC status."""
        try:
            return await self._handler(await self._request(requests, context), context)
        except Exception as error:
            if isinstance(error, grpc.aio.InternalError | grpc.aio.AbortError) or context.done():
                raise
            await abort(context, self._errors.describe(error))
