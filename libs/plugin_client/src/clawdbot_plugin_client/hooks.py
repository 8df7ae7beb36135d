"""The client of HookService, for the services whose turns and generations the hooks watch over.

It watches the plugin registry, so that a hook point that no plugin registered for costs a dict lookup and no
call. What the hooks do, and in which order they run, is up to the plugin service.
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
from clawdbot_servicekit import deadline
from clawdbot_servicekit.caller import Caller, current_caller, enter_caller
from clawdbot_servicekit.error_table import ErrorRule, remote_error
from clawdbot_servicekit.errors import NotReady
from clawdbot_servicekit.peer_health import PeerHealth
from clawdbot_servicekit.status_details import DOMAIN
from google.protobuf.struct_pb2 import Struct

KEY_ID: Final = "key_id"
"""The fact that names the caller's key, as the plugin service sees only the calling service's credentials."""

HOOK_SERVICE: Final = hook.DESCRIPTOR.services_by_name["HookService"].full_name
"""Its health is that of the plugin service."""

FIRST_SNAPSHOT_TIMEOUT: Final = 5.0
"""Seconds that a call waits for the first snapshot of the registry, if its deadline allows."""
WATCH_TIMEOUT: Final = 300.0
"""Seconds of one WatchPlugins call; then the next one is made. Below the server's maximum deadline."""
BACKOFF_MIN: Final = 0.05
BACKOFF_MAX: Final = 2.0
"""Seconds: bounds of the backoff between two attempts to watch the registry."""
RECONNECT_TIMEOUT: Final = 0.5
"""Seconds for which the registry may be out of sight: connections end now and then, and the next one takes an
instant."""
CALL_MARGIN: Final = 1.0
"""Seconds that a call may take in addition to the timeouts of its hooks."""
STOP_GRACE: Final = 2.0
"""Seconds that stop waits for queued events to be delivered."""
MAX_ATTEMPTS: Final = 3
"""Attempts to deliver an event when the plugin service becomes unavailable in between."""


class HookRefused(Exception):
    """A gate hook refused: PERMISSION_DENIED with its reason."""

    def __init__(self, plugin: str, reason: str, message: str, retry_after: float | None = None) -> None:
        self.plugin = plugin
        self.reason = reason
        """UPPER_SNAKE, as the hook gave it: "RATE_LIMITED"."""
        self.message = message
        """One sentence for the caller."""
        self.retry_after = retry_after
        """Seconds; None where a retry does not help."""
        super().__init__(f"{plugin}: {reason}: {message}")


class HookLimited(HookRefused):
    """A temporary refusal: `retry_after` is set. RESOURCE_EXHAUSTED with RetryInfo."""

    retry_after: float


class HooksUnavailable(Exception):
    """A hook must run and the plugin service does not answer. UNAVAILABLE (HOOKS_UNAVAILABLE)."""

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
        "The hooks of {point} cannot run: {explanation}.",
        retryable=True,
        metadata=("point",),
    ),
}
"""For a service's ErrorTable: the status of each exception above."""


@dataclass(frozen=True, slots=True)
class _HookPolicy:
    """The hooks of one kind at one point, taken together."""

    fail_closed: bool
    """Whether one of them fails closed."""
    timeout: float
    """Seconds for a call that runs all of them."""


@dataclass(frozen=True, slots=True)
class _Event:
    caller: Caller
    request: hook.ObserveRequest


_Policies = Mapping[tuple[int, str], _HookPolicy]
"""Kind and point → policy."""


class HookClient:
    """Runs the hooks of a point in the plugin service. One per service; start once, stop once."""

    def __init__(self, channel: grpc.aio.Channel | None, *, queue: int = 1000) -> None:
        """A client that has not seen the registry yet.

        Args:
            channel: to the plugin service; `peers.channel("plugins")`. None: there is none, and so no hooks.
            queue: maximum number of events waiting for observers; more are dropped and counted.
        """
        self._policies: _Policies | None = None
        if channel is None:
            self._policies = {}
        else:
            self._hooks = HookServiceStub(channel)
            self._plugins = PluginServiceStub(channel)
            self._health = PeerHealth(channel, "plugins", HOOK_SERVICE)
        self._has_peer = channel is not None
        self._received = asyncio.Event()
        self._connected = asyncio.Event()
        self._lost = "no answer yet"
        """Why the registry is out of sight, where it is."""
        self._events: asyncio.Queue[_Event | None] = asyncio.Queue(queue)
        self._dropped = 0
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._log = structlog.get_logger(__name__)

    async def start(self) -> None:
        """Starts to watch the registry; does not wait for it."""
        if not self._has_peer:
            return
        self._tasks = (
            asyncio.create_task(self._watch(), name="hooks: watch the registry"),
            asyncio.create_task(self._deliver(), name="hooks: deliver events"),
        )

    async def stop(self) -> None:
        """Delivers what is queued, for STOP_GRACE seconds at most, and ends. Safe twice, or without start."""
        if not self._tasks:
            return
        watcher, deliverer = self._tasks
        self._tasks = ()
        try:
            async with asyncio.timeout(STOP_GRACE):
                await self._events.put(None)
                await asyncio.wait((deliverer,))
        except TimeoutError:
            self._drop("stopped", self._events.qsize())
        for task in (watcher, deliverer):
            task.cancel()
        await asyncio.gather(watcher, deliverer, return_exceptions=True)

    async def check(self) -> None:
        """For a Dependency: raises NotReady unless the plugin service is ready and its registry in sight."""
        if any(task.done() for task in self._tasks):
            raise NotReady("plugins", "the hook client has stopped")
        await self._health.check()
        try:
            async with asyncio.timeout(RECONNECT_TIMEOUT):
                await self._connected.wait()
        except TimeoutError:
            raise NotReady("plugins", f"the plugin registry has not been received: {self._lost}") from None

    @property
    def dropped(self) -> int:
        """Events that observers did not get, since the start."""
        return self._dropped

    def gates(self, point: str) -> bool:
        """Whether the point may have gate hooks. Where it has none, its subject need not be built."""
        policies = self._policies
        return policies is None or (hook.HOOK_KIND_GATE, point) in policies

    async def gate(self, subject: hook.HookSubject) -> None:
        """Returns when every gate hook of `subject.point` allows it.

        Raises:
            HookRefused: one of them refuses (HookLimited where it says when to retry).
            HooksUnavailable: one must run and cannot, within the call's deadline.
            RemoteError: one that fails closed failed (UNAVAILABLE, HOOK_FAILED).
        """
        policies = self._policies
        if policies is None:
            policies = await self._first_snapshot(subject.point)
        policy = policies.get((hook.HOOK_KIND_GATE, subject.point))
        if policy is None:
            return
        request = hook.GateRequest(subject=subject)
        _add_key_id(request.subject)
        try:
            answer = await self._hooks.Gate(request, timeout=deadline.outgoing_timeout(policy.timeout))
        except grpc.aio.AioRpcError as error:
            self._call_failed(subject.point, policy, error)
            return
        if not answer.allowed:
            raise _refusal(answer)

    async def modify(self, subject: hook.HookSubject, payload: Struct) -> Struct:
        """The payload after the modify hooks of `subject.point`; the same object where there are none.

        Raises:
            HooksUnavailable, RemoteError: as for `gate`.
        """
        policies = self._policies
        if policies is None:
            policies = await self._first_snapshot(subject.point)
        policy = policies.get((hook.HOOK_KIND_MODIFY, subject.point))
        if policy is None:
            return payload
        request = hook.ModifyRequest(subject=subject, payload=payload)
        _add_key_id(request.subject)
        try:
            answer = await self._hooks.Modify(request, timeout=deadline.outgoing_timeout(policy.timeout))
        except grpc.aio.AioRpcError as error:
            self._call_failed(subject.point, policy, error)
            return payload
        return answer.payload

    def observes(self, point: str) -> bool:
        """Whether the point may have observers. Where it has none, its event need not be built."""
        policies = self._policies
        return policies is None or (hook.HOOK_KIND_OBSERVE, point) in policies

    def observe(self, subject: hook.HookSubject) -> None:
        """Queues the event for the observers of `subject.point`. Neither waits nor raises."""
        if not self.observes(subject.point):
            return
        request = hook.ObserveRequest(subject=subject)
        _add_key_id(request.subject)
        try:
            self._events.put_nowait(_Event(current_caller(), request))
        except asyncio.QueueFull:
            self._drop("queue_full", 1)

    async def _first_snapshot(self, point: str) -> _Policies:
        if self._policies is None:
            try:
                async with asyncio.timeout(deadline.outgoing_timeout(FIRST_SNAPSHOT_TIMEOUT)):
                    await self._received.wait()
            except TimeoutError:
                raise HooksUnavailable(point, "the plugin service has not been reached yet") from None
        return self._policies or {}

    def _call_failed(self, point: str, policy: _HookPolicy, error: grpc.aio.AioRpcError) -> None:
        remote = remote_error(error)
        self._log.warning(
            "hooks_not_reached",
            point=point,
            code=remote.code,
            reason=remote.reason,
            fail_closed=policy.fail_closed,
        )
        if not policy.fail_closed:
            return
        if remote.domain == DOMAIN and remote.code == "UNAVAILABLE":
            raise remote from None  # it says which plugin failed
        raise HooksUnavailable(point, f"the plugin service answered {remote.code}") from None

    async def _watch(self) -> None:
        """Keeps the latest snapshot of the registry until cancelled."""
        backoff = 0.0
        while True:
            try:
                request = plugin.WatchPluginsRequest()
                async for snapshot in self._plugins.WatchPlugins(request, timeout=WATCH_TIMEOUT):
                    self._apply(snapshot)
                    backoff = 0.0
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and self._connected.is_set():
                    continue
                self._lost = error.code().name
                if self._connected.is_set() or backoff == 0.0:
                    self._log.warning("registry_lost", code=error.code().name)
            self._connected.clear()
            backoff = min(BACKOFF_MAX, backoff * 2 or BACKOFF_MIN)
            # Full jitter: workers that lost the same peer do not reconnect in step.
            await asyncio.sleep(random.uniform(0, backoff))  # noqa: S311 - not a secret

    def _apply(self, snapshot: plugin.WatchPluginsResponse) -> None:
        self._policies = _policies(
            each for each in snapshot.plugins if each.state != plugin.PLUGIN_STATE_DISABLED
        )
        self._received.set()
        if not self._connected.is_set():
            self._connected.set()
            self._log.info("registry_seen", revision=snapshot.revision, points=len(self._policies))

    async def _deliver(self) -> None:
        """Delivers events in the order in which they were queued, until the end of the queue."""
        while (event := await self._events.get()) is not None:
            enter_caller(event.caller)
            await self._deliver_one(event.request)

    async def _deliver_one(self, request: hook.ObserveRequest) -> None:
        code = ""
        for _ in range(MAX_ATTEMPTS):
            await self._connected.wait()
            policy = (self._policies or {}).get((hook.HOOK_KIND_OBSERVE, request.subject.point))
            if policy is None:
                return
            try:
                await self._hooks.Observe(request, timeout=CALL_MARGIN)
            except grpc.aio.AioRpcError as error:
                code = error.code().name
                # Gives the watcher a turn to notice that the peer is gone.
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


def _policies(plugins: Iterable[plugin.Plugin]) -> _Policies:
    policies: dict[tuple[int, str], _HookPolicy] = {}
    for each in plugins:
        for registration in each.hooks:
            key = (registration.kind, registration.point)
            known = policies.get(key, _HookPolicy(fail_closed=False, timeout=CALL_MARGIN))
            fail_closed = known.fail_closed or registration.failure_policy == hook.FAILURE_POLICY_CLOSED
            timeout = registration.timeout.ToTimedelta().total_seconds()
            policies[key] = _HookPolicy(fail_closed=fail_closed, timeout=known.timeout + timeout)
    return policies


def _add_key_id(subject: hook.HookSubject) -> None:
    key_id = current_caller().key_id
    if key_id:
        subject.facts[KEY_ID] = key_id


def _refusal(answer: hook.GateResponse) -> HookRefused:
    if answer.HasField("retry_after"):
        wait = answer.retry_after.ToTimedelta().total_seconds()
        return HookLimited(answer.plugin, answer.reason, answer.message, wait)
    return HookRefused(answer.plugin, answer.reason, answer.message)
