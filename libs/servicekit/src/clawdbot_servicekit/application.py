"""What a service is to the server that runs it, and the port through which it reaches its peers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc.aio
from prometheus_client import CollectorRegistry

from clawdbot_servicekit.error_table import ErrorTable

Registration = tuple[Callable[[Any, grpc.aio.Server], None], object]
"""A generated add_…_to_server function, and the servicer to add."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that an application's calls need: a store, a peer, a part of its own that can end."""

    name: str
    """snake_case, for the log and the metric: "session_store"."""
    check: Callable[[], Coroutine[Any, Any, None]]
    """Returns if calls can use it now; MUST raise otherwise, with a text for the operator. It runs about once
    a second, so it MUST be cheap, and MUST NOT block the event loop."""
    absence: str = ""
    """Where the installation does without it: what then fails, for the operator. The application is ready all
    the same; the log, the metric and the banner tell that it is missing."""

    @property
    def required(self) -> bool:
        """Whether the application is ready only while it answers."""
        return not self.absence


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

    @property
    @abstractmethod
    def dependencies(self) -> Sequence[Dependency]:
        """What its calls need. Each is checked on its own, from the end of `start` until `stop`."""

    async def reload(self) -> None:  # noqa: B027 - most services have nothing to reload
        """Reads again what may change without a restart, on SIGHUP; here: nothing.

        MUST change nothing and raise StartupError where what it reads is invalid.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Ends the work in flight and releases everything. MUST be safe after a failed start."""

    def add_metrics(self, registry: CollectorRegistry) -> Callable[[], None] | None:
        """Adds metrics of its own to those of the server, before `start`; here: none.

        Returns what records its present load, if there is such a thing; called about twice a second.
        """
        del registry
        return None

    def describe(self) -> dict[str, tuple[str, ...]]:
        """What a banner shows: label → lines. Here: what it does without."""
        return {"absent": tuple(each.absence for each in self.dependencies if each.absence)}


class Peers(Protocol):
    """The other services, wherever they run."""

    def channel(self, service: str) -> grpc.aio.Channel | None:
        """A channel to "dialogue", "model_gateway" or "plugins"; None if this installation has no such peer.

        The same channel for every call of this method; the owner of the Peers closes it. Calls on it carry
        the service's own credentials and the tenant of the running call.
        """
