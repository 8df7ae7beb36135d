"""The server's side of in-process calls: finds the handler of a method and starts it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from clawdbot_servicekit import tracing
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.inprocess.metadata import Metadata, Metadatum, to_metadata
from clawdbot_servicekit.inprocess.rpc import Rpc
from clawdbot_servicekit.inprocess.server_call import run_handler
from clawdbot_servicekit.pipeline import HandlerTarget

STOPPED = "The server has stopped."


@dataclass(slots=True)
class _HandlerCallDetails:
    """What a generic handler is asked with."""

    method: str
    invocation_metadata: tuple[tuple[str, str | bytes], ...]


class InProcessServer(HandlerTarget):
    """Takes handlers like a grpc.aio.Server, for InProcessChannels. Make it inside the loop."""

    reads_requests = False

    def __init__(self, max_message: int = -1) -> None:
        """A server without handlers.

        Args:
            max_message: maximum size of a message in bytes; a larger one ends the call with
                RESOURCE_EXHAUSTED, as over TCP. -1: no limit.
        """
        self._loop = asyncio.get_running_loop()
        # A call over TCP runs in the context of the server's start, and sees nothing of its caller's context.
        self._context = contextvars.copy_context()
        self._max_message = max_message
        self._generic_handlers: list[grpc.GenericRpcHandler] = []
        self._handlers: dict[str, Any] = {}
        self._running: dict[asyncio.Task[None], Rpc] = {}
        self._stopped = False

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Adds handlers, as grpc.aio.Server does."""
        self._generic_handlers.extend(generic_rpc_handlers)

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self._handlers |= {f"/{service_name}/{name}": each for name, each in method_handlers.items()}

    def start_call(self, method: str, metadata: Any, timeout: float | None) -> Rpc:
        """Starts a call, with its servicer in a task of its own. For channels.

        Args:
            method: "/package.Service/Method".
            metadata: what the caller sends, in any form that grpc.aio accepts.
            timeout: seconds; None for no deadline.
        """
        # The ids were checked when they arrived.
        headers = (*to_metadata(metadata), *starmap(Metadatum, tracing.headers()))
        rpc = Rpc(self._loop, headers, timeout, self._max_message)
        if self._stopped:
            rpc.terminate(grpc.StatusCode.UNAVAILABLE, STOPPED)
            return rpc
        work = run_handler(self._find(method, headers), rpc, current_caller(), method)
        task = self._loop.create_task(work, context=self._context.copy())
        rpc.task = task
        self._running[task] = rpc
        task.add_done_callback(self._running.pop)
        return rpc

    async def stop(self) -> None:
        """Accepts no new calls, ends those that are left with UNAVAILABLE, and waits for their servicers."""
        self._stopped = True
        for rpc in tuple(self._running.values()):
            rpc.terminate(grpc.StatusCode.UNAVAILABLE, STOPPED)
        running = self._running.keys() - {asyncio.current_task()}
        if running:
            await asyncio.wait(running)

    def _find(self, method: str, metadata: Metadata) -> Any:
        handler = self._handlers.get(method)
        if handler is None:
            details = _HandlerCallDetails(method, metadata)
            for each in self._generic_handlers:
                handler = each.service(details)
                if handler is not None:
                    # Safe to cache, as handlers are never removed.
                    self._handlers[method] = handler
                    break
        return handler
