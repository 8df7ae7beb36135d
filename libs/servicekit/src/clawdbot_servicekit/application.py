"""What a service is to the server that runs it, and the port through which it reaches its peers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc.aio

from clawdbot_servicekit.error_table import ErrorTable

Registration = tuple[Callable[[Any, grpc.aio.Server], None], object]
"""A generated add_…_to_server function, and the servicer to add."""


class Application(ABC):
    """One service, built and not yet started. Each service's wiring.build returns one."""

    def __init__(self, name: str, errors: ErrorTable, services: Mapping[str, Registration]) -> None:
        """An application that a host can register.

        Args:
            name: one of "dialogue", "model_gateway" and "plugins".
            errors: the status of each of its exceptions.
            services: full name of a gRPC service → how it is added to a server.
        """
        self.name = name
        self.errors = errors
        self.services = tuple(services)
        """Full names of its gRPC services, for scopes, health and reflection."""
        self._registrations = tuple(services.values())

    def register(self, server: grpc.aio.Server) -> None:
        """Adds its servicers to the server."""
        for add_to_server, servicer in self._registrations:
            add_to_server(servicer, server)

    @abstractmethod
    async def start(self) -> None:
        """Opens stores and warms pools. MUST raise StartupError for an error that an operator can fix."""

    @abstractmethod
    async def check(self) -> None:
        """Returns if every dependency answers; MUST raise NotReady otherwise. Called once a second."""

    @abstractmethod
    async def stop(self) -> None:
        """Ends the work in flight and releases everything. MUST be safe after a failed start."""

    def describe(self) -> dict[str, tuple[str, ...]]:
        """What a banner shows: label → lines."""
        return {}


class Peers(Protocol):
    """The other services, wherever they run."""

    def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to "dialogue", "model_gateway" or "plugins".

        The same channel for every call of this method; the owner of the Peers closes it. Calls on it carry
        the service's own credentials and the tenant of the running call.
        """
