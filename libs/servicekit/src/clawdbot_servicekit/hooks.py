"""Plugins' hooks, for the services whose turns and generations they watch over.

A client of HookService that follows the registry, so that a point nobody registered for costs a dict lookup
and no call. What the hooks do, and in which order, is the plugin service's business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
import structlog
from clawdbot.plugins.v1 import hook_service_pb2 as hook
from clawdbot.plugins.v1 import plugin_service_pb2 as plugin
from clawdbot.plugins.v1.hook_service_pb2_grpc import HookServiceStub
from clawdbot.plugins.v1.plugin_service_pb2_grpc import PluginServiceStub
from google.protobuf.struct_pb2 import Struct

from clawdbot_servicekit import deadline
from clawdbot_servicekit.caller import Caller, current_caller, enter_caller
from clawdbot_servicekit.error_table import ErrorRule
from clawdbot_servicekit.errors import NotReady

KEY_ID: Final = "key_id"
"""The fact that names the caller's key: the plugin service sees the service's own credentials."""

FIRST_SIGHT: Final = 5.0
"""Seconds that a call waits for the first sight of the registry, if its deadline allows."""
WATCH: Final = 300.0
"""Seconds of one WatchPlugins call; then the next one is made. Below the server's largest deadline."""
LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts to reach the registry, at most."""
ON_THE_WAY: Final = 1.0
"""Seconds that a call may take besides what its hooks may take."""
FAREWELL: Final = 2.0
"""Seconds that stop waits for queued events to be told."""
ATTEMPTS: Final = 3
"""How often an event is told when the plugin service goes away in between."""


class HookRefused(Exception):
    """A gate hook said no, or could not say yes. PERMISSION_DENIED with the hook's own reason."""

    def __init__(self, plugin: str, reason: str, message: str, retry_after: float | None = None) -> None:
        self.plugin = plugin
        self.reason = reason
        """UPPER_SNAKE, as the hook gave it: "RATE_LIMITED"."""
        self.message = message
        """One sentence for the caller."""
        self.retry_after = retry_after
        """Seconds; None where waiting does not help."""
        super().__init__(f"{plugin}: {reason}: {message}")


class HookLimited(HookRefused):
    """A refusal that time heals: `retry_after` is set. RESOURCE_EXHAUSTED with RetryInfo."""

    retry_after: float


class HooksUnavailable(Exception):
    """A hook must be asked and the plugin service does not answer. UNAVAILABLE (HOOKS_UNAVAILABLE)."""

    def __init__(self, point: str, explanation: str, retry_after: float = 1.0) -> None:
        self.point = point
        self.explanation = explanation
        self.retry_after = retry_after
        super().__init__(f"{point}: {explanation}")


HOOK_RULES: Final[Mapping[type[Exception], ErrorRule]] = {
    HookRefused: ErrorRule(grpc.StatusCode.PERMISSION_DENIED, "{reason}", "{message}", metadata=("plugin",)),
    HookLimited: ErrorRule(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "{reason}", "{message}", retryable=True, metadata=("plugin",)
    ),
    HooksUnavailable: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "HOOKS_UNAVAILABLE",
        "The hooks of {point} cannot be asked: {explanation}.",
        retryable=True,
        metadata=("point",),
    ),
}
"""For a service's ErrorTable: what the exceptions above mean to its callers."""


@dataclass(frozen=True, slots=True)
class _Stance:
    """What the registry says about the hooks of one kind at one point, taken together."""

    closed: bool
    """Whether the failure of one of them is a refusal."""
    patience: float
    """Seconds that all of them may take."""


@dataclass(frozen=True, slots=True)
class _Event:
    caller: Caller
    request: hook.ObserveRequest


_Registered = Mapping[tuple[int, str], _Stance]
"""Kind and point → stance."""


class Hooks:
    """Runs the hooks of a point wherever the plugin service is. One per service; start once, stop once."""

    def __init__(self, channel: grpc.aio.Channel, *, queue: int = 1000) -> None:
        """A client that knows nothing yet.

        Args:
            channel: to the plugin service; `peers.channel("plugins")`.
            queue: events waiting to be told to observers; more are dropped and counted.
        """
        self._hooks = HookServiceStub(channel)
        self._plugins = PluginServiceStub(channel)
        self._registered: _Registered | None = None
        self._seen = asyncio.Event()
        self._connected = asyncio.Event()
        self._events: asyncio.Queue[_Event | None] = asyncio.Queue(queue)
        self._dropped = 0
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._log = structlog.get_logger(__name__)

    async def start(self) -> None:
        """Begins to follow the registry; does not wait for it."""
        self._tasks = (
            asyncio.create_task(self._follow(), name="hooks: follow the registry"),
            asyncio.create_task(self._tell(), name="hooks: tell observers"),
        )

    async def stop(self) -> None:
        """Tells what is queued, for a moment at most, and ends. Safe without a start, and twice."""
        if not self._tasks:
            return
        follower, teller = self._tasks
        self._tasks = ()
        try:
            async with asyncio.timeout(FAREWELL):
                await self._events.put(None)
                await asyncio.wait((teller,))
        except TimeoutError:
            self._drop("stopped", self._events.qsize())
        for task in (follower, teller):
            task.cancel()
        await asyncio.gather(follower, teller, return_exceptions=True)

    async def check(self) -> None:
        """For Application.check: raises NotReady until the registry was seen once."""
        if any(task.done() for task in self._tasks):
            raise NotReady("plugins", "the client of the hooks has ended")
        if self._registered is None:
            raise NotReady("plugins", "the registry of hooks has not been seen yet")

    @property
    def dropped(self) -> int:
        """Events that observers were not told, since the start."""
        return self._dropped

    async def gate(self, subject: hook.HookSubject) -> None:
        """Returns when every gate hook of `subject.point` agrees.

        Raises:
            HookRefused: one of them does not (HookLimited where it says when to come again).
            HooksUnavailable: one must be asked and cannot be, within the call's deadline.
        """
        registered = self._registered
        if registered is None:
            registered = await self._first_sight(subject.point)
        stance = registered.get((hook.HOOK_KIND_GATE, subject.point))
        if stance is None:
            return
        request = hook.GateRequest(subject=subject)
        _name_key(request.subject)
        try:
            answer = await self._hooks.Gate(request, timeout=deadline.outgoing(stance.patience))
        except grpc.aio.AioRpcError as error:
            self._failed(subject.point, stance, error)
            return
        if not answer.allowed:
            raise _refusal(answer)

    async def modify(self, subject: hook.HookSubject, payload: Struct) -> Struct:
        """The payload as the modify hooks of `subject.point` leave it; the same object where there are none.

        Raises:
            HooksUnavailable: a hook that is registered to fail closed failed or cannot be reached.
        """
        registered = self._registered
        if registered is None:
            registered = await self._first_sight(subject.point)
        stance = registered.get((hook.HOOK_KIND_MODIFY, subject.point))
        if stance is None:
            return payload
        request = hook.ModifyRequest(subject=subject, payload=payload)
        _name_key(request.subject)
        try:
            answer = await self._hooks.Modify(request, timeout=deadline.outgoing(stance.patience))
        except grpc.aio.AioRpcError as error:
            self._failed(subject.point, stance, error)
            return payload
        return answer.payload

    def observes(self, point: str) -> bool:
        """Whether anybody may want to be told of the point: what nobody hears need not be put together."""
        registered = self._registered
        return registered is None or (hook.HOOK_KIND_OBSERVE, point) in registered

    def observe(self, subject: hook.HookSubject) -> None:
        """Queues the event for the observers of `subject.point`. Neither waits nor raises."""
        if not self.observes(subject.point):
            return
        request = hook.ObserveRequest(subject=subject)
        _name_key(request.subject)
        try:
            self._events.put_nowait(_Event(current_caller(), request))
        except asyncio.QueueFull:
            self._drop("queue_full", 1)

    async def _first_sight(self, point: str) -> _Registered:
        if self._registered is None:
            try:
                async with asyncio.timeout(deadline.outgoing(FIRST_SIGHT)):
                    await self._seen.wait()
            except TimeoutError:
                raise HooksUnavailable(point, "the plugin service has not been reached yet") from None
        return self._registered or {}

    def _failed(self, point: str, stance: _Stance, error: grpc.aio.AioRpcError) -> None:
        self._log.warning("hooks_not_reached", point=point, code=error.code().name, closed=stance.closed)
        if stance.closed:
            raise HooksUnavailable(point, f"the plugin service answered {error.code().name}") from None

    async def _follow(self) -> None:
        """Keeps the registry's last known state until cancelled."""
        pause = 0.0
        while True:
            try:
                async for news in self._plugins.WatchPlugins(plugin.WatchPluginsRequest(), timeout=WATCH):
                    self._learn(news)
                    pause = 0.0
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and self._connected.is_set():
                    continue
                if self._connected.is_set() or pause == 0.0:
                    self._log.warning("registry_lost", code=error.code().name)
            self._connected.clear()
            pause = min(LONGEST_PAUSE, pause * 2 or 0.05)
            # Full jitter: workers that lost the same peer do not come back in step.
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - not a secret

    def _learn(self, news: plugin.WatchPluginsResponse) -> None:
        self._registered = _stances(
            each for each in news.plugins if each.state != plugin.PLUGIN_STATE_DISABLED
        )
        self._seen.set()
        if not self._connected.is_set():
            self._connected.set()
            self._log.info("registry_seen", revision=news.revision, points=len(self._registered))

    async def _tell(self) -> None:
        """Tells events in the order in which they came, until the end of the queue."""
        while (event := await self._events.get()) is not None:
            enter_caller(event.caller)
            await self._tell_one(event.request)

    async def _tell_one(self, request: hook.ObserveRequest) -> None:
        code = ""
        for _ in range(ATTEMPTS):
            await self._connected.wait()
            stance = (self._registered or {}).get((hook.HOOK_KIND_OBSERVE, request.subject.point))
            if stance is None:
                return
            try:
                await self._hooks.Observe(request, timeout=ON_THE_WAY)
            except grpc.aio.AioRpcError as error:
                code = error.code().name
                # Gives the follower a turn to notice that the peer has gone.
                await asyncio.sleep(0.05)
            else:
                return
        self._drop(code, 1)

    def _drop(self, reason: str, events: int) -> None:
        if events:
            self._dropped += events
            # Powers of two: a flood of drops must not become a flood of lines.
            if self._dropped & (self._dropped - 1) == 0 or events > 1:
                self._log.warning("hook_events_dropped", reason=reason, total=self._dropped)


def _stances(plugins: Iterable[plugin.Plugin]) -> _Registered:
    stances: dict[tuple[int, str], _Stance] = {}
    for each in plugins:
        for registration in each.hooks:
            place = (registration.kind, registration.point)
            before = stances.get(place, _Stance(closed=False, patience=ON_THE_WAY))
            closed = before.closed or registration.failure_policy == hook.FAILURE_POLICY_CLOSED
            timeout = registration.timeout.ToTimedelta().total_seconds()
            stances[place] = _Stance(closed=closed, patience=before.patience + timeout)
    return stances


def _name_key(subject: hook.HookSubject) -> None:
    key_id = current_caller().key_id
    if key_id:
        subject.facts[KEY_ID] = key_id


def _refusal(answer: hook.GateResponse) -> HookRefused:
    if answer.HasField("retry_after"):
        wait = answer.retry_after.ToTimedelta().total_seconds()
        return HookLimited(answer.plugin, answer.reason, answer.message, wait)
    return HookRefused(answer.plugin, answer.reason, answer.message)
