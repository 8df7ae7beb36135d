"""What a service is to the server that runs it, and what its peers are to it."""

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
        """Full names of its gRPC services, for health and reflection."""

    @property
    def errors(self) -> ErrorTable:
        """What its exceptions mean to a caller."""

    def register(self, server: grpc.aio.Server) -> None:
        """Calls the generated add_…_to_server functions; nothing else."""

    async def start(self) -> None:
        """Opens stores and warms pools. MUST raise StartupError for what an operator can mend."""

    async def check(self) -> None:
        """Returns when every dependency answers; MUST raise NotReady otherwise. Called once a second."""

    async def stop(self) -> None:
        """Ends the work in flight and frees everything. MUST be safe after a failed start."""


class Peers(Protocol):
    """The other services, wherever they run."""

    def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to "dialogue", "model_gateway" or "plugins".

        The same channel for every call of this method; closed by whoever made the Peers. Calls on it bear the
        service's own credentials and the tenant of the running call.
        """
