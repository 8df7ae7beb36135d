"""Serves grpc.health.v1 to probes and load balancers.

"" and each service's full name are SERVING while every dependency answers and the server does not drain, and
so is `readiness`. `liveness` says only that the event loop runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from typing_extensions import override

from clawdbot_servicekit.application import Application
from clawdbot_servicekit.errors import NotReady

Status = health_pb2.HealthCheckResponse

LIVENESS: Final = "liveness"
READINESS: Final = "readiness"
SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

CHECK_INTERVAL: Final = 1.0
"""Seconds between two rounds of checks."""
CHECK_TIMEOUT: Final = 5.0
"""Seconds that one check may take."""
STARTUP_INTERVAL: Final = 0.05
"""Seconds between two rounds until the first success, so that the start does not take a whole interval."""


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # no stubs
    """The servicer and its state."""

    def __init__(self) -> None:
        self._statuses = {LIVENESS: Status.SERVING, READINESS: Status.NOT_SERVING, "": Status.NOT_SERVING}
        self._changed = asyncio.Condition()
        self._draining = False

    def register(self, services: Iterable[str]) -> None:
        """Adds full names of services, NOT_SERVING at first."""
        for name in services:
            self._statuses[name] = Status.NOT_SERVING

    def is_serving(self, name: str = "") -> bool:
        """Whether the name is SERVING."""
        return bool(self._statuses.get(name) == Status.SERVING)

    async def update(self, serving: dict[str, bool]) -> None:
        """Sets whether names are SERVING. Once draining, nothing but liveness can be SERVING again."""
        async with self._changed:
            for name, is_serving in serving.items():
                allowed = is_serving and (not self._draining or name == LIVENESS)
                self._statuses[name] = Status.SERVING if allowed else Status.NOT_SERVING
            self._changed.notify_all()

    async def drain(self) -> None:
        """Makes everything but liveness NOT_SERVING permanently; every Watch sends that and ends."""
        self._draining = True
        await self.update({name: False for name in self._statuses if name != LIVENESS})

    @override
    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """The status of one name; NOT_FOUND for an unknown one."""
        status = self._statuses.get(request.service)
        if status is None:
            known = ", ".join(name for name in self._statuses if name)
            await context.abort(grpc.StatusCode.NOT_FOUND, f"This server has {known}.")
        return Status(status=status)

    @override
    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now and after every change; SERVICE_UNKNOWN for an unknown name, as specified."""
        del context
        sent: int | None = None
        last = False
        while not last:
            async with self._changed:
                while (status := self._status(request.service)) == sent and not self._draining:
                    await self._changed.wait()
                last = self._draining
            if status != sent:
                yield Status(status=status)
                sent = status

    def _status(self, name: str) -> int:
        return int(self._statuses.get(name, Status.SERVICE_UNKNOWN))


class Readiness:
    """Checks the applications about once a second, and updates Health with the result."""

    def __init__(
        self,
        health: Health,
        applications: Sequence[Application],
        on_check: Callable[[str, bool], None] | None = None,
    ) -> None:
        """A loop over the applications.

        Args:
            health: what to update.
            applications: what to check; may grow until `run`.
            on_check: called with each application's name and readiness in every round, for metrics.
        """
        self._health = health
        self._on_check = on_check
        self._applications = applications
        self._log = structlog.get_logger(__name__)
        self._reasons: dict[str, str] = {}
        self.all_ready = asyncio.Event()
        """Set when every application was ready for the first time."""

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._check_all()
            await asyncio.sleep(CHECK_INTERVAL if self.all_ready.is_set() else STARTUP_INTERVAL)

    async def _check_all(self) -> None:
        reasons = await asyncio.gather(*(self._check(each) for each in self._applications))
        serving: dict[str, bool] = {}
        for application, reason in zip(self._applications, reasons, strict=True):
            serving |= dict.fromkeys(application.services, not reason)
            if self._on_check is not None:
                self._on_check(application.name, not reason)
            self._log_change(application.name, reason)
        ready = not any(reasons)
        await self._health.update({**serving, READINESS: ready, "": ready})
        if ready:
            self.all_ready.set()

    async def _check(self, application: Application) -> str:
        """Why the application is not ready; empty if it is."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await application.check()
        except NotReady as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises, the server is not ready and runs on
            return f"{type(error).__name__}: {error}"
        return ""

    def _log_change(self, name: str, reason: str) -> None:
        """One line per change, not one per second."""
        if self._reasons.get(name, "") == reason:
            return
        self._reasons[name] = reason
        if reason:
            self._log.warning("not_ready", application=name, reason=reason)
        else:
            self._log.info("ready_again", application=name)
