"""What applications register their servicers on: a facade of grpc.aio.Server that wraps each method once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import grpc
import grpc.aio

from clawdbot_servicekit.errors import ErrorTable
from clawdbot_servicekit.pipeline.path import Pipeline


class HandlerTarget(Protocol):
    """Where wrapped handlers go: a grpc.aio.Server or an InProcessServer."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server's."""


class WrappingServer(grpc.aio.Server):
    """Looks like a server to the generated add_…_to_server functions. One per application."""

    def __init__(
        self,
        pipeline: Pipeline,
        targets: Sequence[HandlerTarget],
        errors: ErrorTable,
        *,
        exempt: bool = False,
    ) -> None:
        """A facade before the targets.

        Args:
            pipeline: what all methods of the host have in common.
            targets: where the wrapped handlers go: the grpc.aio.Server and the InProcessServer.
            errors: what the application's exceptions mean.
            exempt: for health and reflection: no admission, identity, deadline or record; errors only.
        """
        raise NotImplementedError

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server's; each handler is wrapped."""
        raise NotImplementedError

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """As grpc.aio.Server's."""
        raise NotImplementedError
