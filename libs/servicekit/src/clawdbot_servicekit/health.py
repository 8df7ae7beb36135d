"""Serves grpc.health.v1 to probes and load balancers.

"" and each service's full name are SERVING while every required dependency answers and the server does not
drain, and so is `readiness`. `liveness` says only that the event loop runs.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from typing_extensions import override

from clawdbot_servicekit.application import Application, Dependency
from clawdbot_servicekit.errors import NotReady
from clawdbot_servicekit.log_content import length_of
from clawdbot_servicekit.metrics import Metrics

Status = health_pb2.HealthCheckResponse

LIVENESS: Final = "liveness"
READINESS: Final = "readiness"
SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks of a dependency."""
CHECK_TIMEOUT: Final = 2.0
"""Seconds that one check may take: a hung dependency is noticed after at most this and the interval."""
STARTUP_INTERVAL: Final = 0.02
"""Seconds until the second check. The pause doubles up to the interval, so that the start is quick."""


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
    """Checks each dependency about once a second, and updates Health, the metrics and the log."""

    def __init__(self, health: Health, applications: Sequence[Application], metrics: Metrics) -> None:
        """Checks that have not begun.

        Args:
            health: what to update.
            applications: what to check; may grow until `run`.
            metrics: shows which applications are ready, and which dependencies.
        """
        self._health = health
        self._metrics = metrics
        self._applications = applications
        self._log = structlog.get_logger(__name__)
        self._waiting: dict[str, set[str]] = {}
        """Application → its required dependencies that do not answer, or were not asked yet."""
        self.all_ready = asyncio.Event()
        """Set when every application was ready for the first time."""

    async def run(self) -> None:
        """Runs until cancelled."""
        for application in self._applications:
            self._waiting[application.name] = {
                each.name for each in application.dependencies if each.required
            }
        await self._update()
        async with asyncio.TaskGroup() as group:
            for application in self._applications:
                for dependency in application.dependencies:
                    # Each in a task of its own: one that hangs must not delay what the others say.
                    group.create_task(self._watch(application, dependency))

    async def _watch(self, application: Application, dependency: Dependency) -> None:
        reported: set[str] = set()
        answered, pause = False, STARTUP_INTERVAL
        while True:
            checking = asyncio.create_task(dependency.check())
            try:
                done, _ = await asyncio.wait((checking,), timeout=CHECK_TIMEOUT)
                reason = _reason(checking) if done else f"no answer within {CHECK_TIMEOUT:g} s"
                answered = answered or not reason
                # A start takes a moment, above all where services of one process wait for each other.
                if answered or not dependency.required or pause >= CHECK_INTERVAL:
                    self._report(application, dependency, reason, reported)
                await self._set_answers(application, dependency, answers=not reason)
                if not done:
                    # Also a check that ignores its cancellation has to end before the next one.
                    checking.cancel()
                    await asyncio.wait((checking,))
            finally:
                checking.cancel()
            await asyncio.sleep(pause)
            pause = min(CHECK_INTERVAL, pause * 2)

    async def _set_answers(self, application: Application, dependency: Dependency, *, answers: bool) -> None:
        self._metrics.set_dependency(application.name, dependency.name, answers)
        waiting = self._waiting[application.name]
        if not dependency.required or answers is (dependency.name not in waiting):
            return
        (waiting.discard if answers else waiting.add)(dependency.name)
        await self._update()

    async def _update(self) -> None:
        serving: dict[str, bool] = {}
        for application in self._applications:
            ready = not self._waiting[application.name]
            self._metrics.set_ready(application.name, ready)
            serving |= dict.fromkeys(application.services, ready)
        all_ready = not any(self._waiting.values())
        await self._health.update({**serving, READINESS: all_ready, "": all_ready})
        if all_ready:
            self.all_ready.set()

    def _report(
        self, application: Application, dependency: Dependency, reason: str, reported: set[str]
    ) -> None:
        """One line for each reason and for the return, not one per second."""
        fields = {"application": application.name, "dependency": dependency.name}
        if reason and reason not in reported:
            reported.add(reason)
            event = "not_ready" if dependency.required else "dependency_absent"
            self._log.warning(event, **fields, reason=reason)
        elif not reason and reported:
            reported.clear()
            self._log.info("ready_again", **fields)


def _reason(checked: asyncio.Task[None]) -> str:
    """Why a finished check failed; empty if it did not. Whatever a check raises, the server runs on.

    What the system and SQLite say is for operators. Any other error may repeat what it was given, so the log
    has its class and length.
    """
    if checked.cancelled():
        return "the check was cancelled"
    error = checked.exception()
    if error is None:
        return ""
    if isinstance(error, NotReady):
        return str(error)
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    text = str(error)
    return f"{name}: {text}" if isinstance(error, sqlite3.OperationalError) else f"{name} {length_of(text)}"
