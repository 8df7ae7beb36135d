"""The dispatch table of a process: which handler a full method name means."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from clawdbot_servicekit import tracing
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.inprocess.metadata import Metadata, metadata_of
from clawdbot_servicekit.inprocess.rpc import Rpc
from clawdbot_servicekit.inprocess.server_call import serve

STOPPED = "The server has stopped."


@dataclass(slots=True)
class _Details:
    """What a generic handler is asked with."""

    method: str
    invocation_metadata: tuple[tuple[str, str | bytes], ...]


class InProcessServer:
    """Takes handlers like a grpc.aio.Server and serves InProcessChannels. Make it inside the loop."""

    def __init__(self, max_message: int = -1) -> None:
        """Args: max_message: largest message in bytes, RESOURCE_EXHAUSTED beyond as over TCP; -1: none."""
        self._loop = asyncio.get_running_loop()
        # A call over TCP runs in what surrounded the server's start, and knows nothing of its caller's.
        self._surroundings = contextvars.copy_context()
        self._max_message = max_message
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._registered: dict[str, Any] = {}
        self._running: dict[asyncio.Task[None], Rpc] = {}
        self._stopped = False

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server's."""
        self._handlers.extend(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """As grpc.aio.Server's."""
        self._registered |= {f"/{service_name}/{name}": each for name, each in method_handlers.items()}

    def begin(self, method: str, metadata: Any, timeout: float | None) -> Rpc:
        """Begins a call, its servicer in a task of its own. For channels.

        Args:
            method: "/package.Service/Method".
            metadata: what the caller sends, in any form that grpc.aio takes.
            timeout: seconds; None for no deadline.
        """
        headers = (*metadata_of(metadata), *metadata_of(tracing.headers()))
        exchange = Rpc(self._loop, headers, timeout, self._max_message)
        if self._stopped:
            exchange.cut(grpc.StatusCode.UNAVAILABLE, STOPPED)
            return exchange
        work = serve(self._find(method, headers), exchange, current_caller(), method)
        task = self._loop.create_task(work, context=self._surroundings.copy())
        exchange.task = task
        self._running[task] = exchange
        task.add_done_callback(self._running.pop)
        return exchange

    async def stop(self) -> None:
        """Takes no new call, ends those that are left with UNAVAILABLE, and waits for their servicers."""
        self._stopped = True
        for exchange in tuple(self._running.values()):
            exchange.cut(grpc.StatusCode.UNAVAILABLE, STOPPED)
        running = self._running.keys() - {asyncio.current_task()}
        if running:
            await asyncio.wait(running)

    def _find(self, method: str, metadata: Metadata) -> Any:
        handler = self._registered.get(method)
        if handler is None:
            details = _Details(method, metadata)
            for each in self._handlers:
                handler = each.service(details)
                if handler is not None:
                    # It means the same for good, as handlers are not taken back.
                    self._registered[method] = handler
                    break
        return handler
