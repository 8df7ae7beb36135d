"""grpc.health.v1: what a probe or a load balancer is told.

"" and each service's full name are SERVING while every dependency answers and the server is not draining, and
so is `readiness`; `liveness` says only that the loop turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from clawdbot_servicekit.application import Application
from clawdbot_servicekit.errors import NotReady

Status = health_pb2.HealthCheckResponse

LIVENESS: Final = "liveness"
READINESS: Final = "readiness"
SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

PERIOD: Final = 1.0
"""Seconds between two rounds of checks."""
PATIENCE: Final = 5.0
"""Seconds that one check may take; longer is no answer."""
WHILE_STARTING: Final = 0.05
"""Seconds between two rounds until the first success, so that start does not wait for a whole period."""


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # no stubs
    """The servicer, and the state that it tells."""

    def __init__(self) -> None:
        self._statuses = {LIVENESS: Status.SERVING, READINESS: Status.NOT_SERVING, "": Status.NOT_SERVING}
        self._changed = asyncio.Condition()
        self._draining = False

    def know(self, services: Iterable[str]) -> None:
        """Adds full names of services, not serving yet."""
        for name in services:
            self._statuses[name] = Status.NOT_SERVING

    def serving(self, name: str = "") -> bool:
        """What a probe for the name would be told."""
        return bool(self._statuses.get(name) == Status.SERVING)

    async def tell(self, statuses: dict[str, bool]) -> None:
        """Sets what names are told from now on; nothing but liveness can be SERVING again once draining."""
        async with self._changed:
            for name, serving in statuses.items():
                fit = serving and (not self._draining or name == LIVENESS)
                self._statuses[name] = Status.SERVING if fit else Status.NOT_SERVING
            self._changed.notify_all()

    async def drain(self) -> None:
        """Everything but liveness is NOT_SERVING for good, and every Watch ends after saying so."""
        self._draining = True
        await self.tell({name: False for name in self._statuses if name != LIVENESS})

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """The status of one name; NOT_FOUND for one that this server does not have."""
        status = self._statuses.get(request.service)
        if status is None:
            known = ", ".join(name for name in self._statuses if name)
            await context.abort(grpc.StatusCode.NOT_FOUND, f"This server has {known}.")
        return Status(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now and at every change; SERVICE_UNKNOWN for an unknown name, as the protocol wants."""
        del context
        told: int | None = None
        last = False
        while not last:
            async with self._changed:
                while (status := self._status(request.service)) == told and not self._draining:
                    await self._changed.wait()
                last = self._draining
            if status != told:
                yield Status(status=status)
                told = status

    def _status(self, name: str) -> int:
        return int(self._statuses.get(name, Status.SERVICE_UNKNOWN))


class Readiness:
    """Asks the applications about once a second whether their dependencies answer, and tells Health."""

    def __init__(
        self,
        health: Health,
        applications: Sequence[Application],
        count: Callable[[str, bool], None] | None = None,
    ) -> None:
        """Args: count: told each application's name and readiness in every round, for metrics."""
        self._health = health
        self._count = count
        self._applications = applications
        self._log = structlog.get_logger(__name__)
        self._why: dict[str, str] = {}
        self.all_ready = asyncio.Event()
        """Set when every application was ready for the first time."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._round()
            await asyncio.sleep(PERIOD if self.all_ready.is_set() else WHILE_STARTING)

    async def _round(self) -> None:
        whys = await asyncio.gather(*(self._ask(each) for each in self._applications))
        statuses: dict[str, bool] = {}
        for application, why in zip(self._applications, whys, strict=True):
            statuses |= dict.fromkeys(application.services, not why)
            if self._count is not None:
                self._count(application.name, not why)
            self._report(application.name, why)
        ready = not any(whys)
        await self._health.tell({**statuses, READINESS: ready, "": ready})
        if ready:
            self.all_ready.set()

    async def _ask(self, application: Application) -> str:
        """Why the application is not ready; empty when it is."""
        try:
            async with asyncio.timeout(PATIENCE):
                await application.check()
        except NotReady as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {PATIENCE:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises, the server is not ready and goes on
            return f"{type(error).__name__}: {error}"
        return ""

    def _report(self, name: str, why: str) -> None:
        """One line per change, not one per second."""
        if self._why.get(name, "") == why:
            return
        self._why[name] = why
        if why:
            self._log.warning("not_ready", application=name, reason=why)
        else:
            self._log.info("ready_again", application=name)
