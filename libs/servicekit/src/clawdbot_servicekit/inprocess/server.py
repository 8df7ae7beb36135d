"""The dispatch table of a process: which handler a full method name means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import grpc.aio


class InProcessServer:
    """Takes handlers like a grpc.aio.Server and serves InProcessChannels. Make it inside the loop."""

    def __init__(self, max_message: int = -1) -> None:
        """Args: max_message: largest message in bytes, RESOURCE_EXHAUSTED beyond as over TCP; -1: none."""
        raise NotImplementedError

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server's."""
        raise NotImplementedError

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """As grpc.aio.Server's."""
        raise NotImplementedError
