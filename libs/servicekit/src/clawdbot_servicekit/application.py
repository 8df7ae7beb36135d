"""The port between a service and the server that runs it, and the port through which it reaches its peers."""

from __future__ import annotations

from typing import Protocol

import grpc.aio

from clawdbot_servicekit.error_table import ErrorTable


class Application(Protocol):
    """One service, built and not yet started. Each service's wiring.build returns one."""

    @property
    def name(self) -> str:
        """One of "dialogue", "model_gateway" and "plugins"."""

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of its gRPC services, for scopes, health and reflection."""

    @property
    def errors(self) -> ErrorTable:
        """The status of each of its exceptions."""

    def register(self, server: grpc.aio.Server) -> None:
        """Calls the generated add_…_to_server functions; nothing else."""

    async def start(self) -> None:
        """Opens stores and warms pools. MUST raise StartupError for an error that an operator can fix."""

    async def check(self) -> None:
        """Returns if every dependency answers; MUST raise NotReady otherwise. Called once a second."""

    async def stop(self) -> None:
        """Ends the work in flight and releases everything. MUST be safe after a failed start."""


class Peers(Protocol):
    """The other services, wherever they run."""

    def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to "dialogue", "model_gateway" or "plugins".

        The same channel for every call of this method; the owner of the Peers closes it. Calls on it carry
        the service's own credentials and the tenant of the running call.
        """
