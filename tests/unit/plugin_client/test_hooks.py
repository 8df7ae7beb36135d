"""The hook client, against a fake plugin service."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import hook_service_pb2 as hook
from clawdbot.plugins.v1 import hook_service_pb2_grpc, plugin_service_pb2_grpc
from clawdbot.plugins.v1 import plugin_service_pb2 as plugin
from clawdbot_plugin_client.hooks import HOOK_RULES, HookClient, HookLimited, HookRefused, HooksUnavailable
from clawdbot_servicekit import deadline
from clawdbot_servicekit.caller import Caller, enter_caller
from clawdbot_servicekit.error_table import ErrorTable, remote_error
from clawdbot_servicekit.errors import NotReady
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from structlog.testing import capture_logs

from tests.support.conditions import until

GATE, MODIFY, OBSERVE = hook.HOOK_KIND_GATE, hook.HOOK_KIND_MODIFY, hook.HOOK_KIND_OBSERVE
SUBJECT = hook.HookSubject(point="turn.started")


def registered(*kinds, closed=False, state=plugin.PLUGIN_STATE_READY, point="turn.started"):
    policy = hook.FAILURE_POLICY_CLOSED if closed else hook.FAILURE_POLICY_OPEN
    hooks = [
        hook.HookRegistration(point=point, kind=kind, timeout=Duration(seconds=1), failure_policy=policy)
        for kind in kinds
    ]
    return plugin.Plugin(name="guard", state=state, hooks=hooks)


class FakePlugins(plugin_service_pb2_grpc.PluginServiceServicer, hook_service_pb2_grpc.HookServiceServicer):
    """Publishes its registry to watchers, and answers hooks with what the test has set."""

    def __init__(self, *plugins):
        self.plugins = plugins
        self.changed = asyncio.Event()
        self.watchers = 0
        self.ending = False
        self.gate = hook.GateResponse(allowed=True)
        self.payload = Struct()
        self.errors = []
        """Status codes for the next hook calls."""
        self.calls = []
        self.delivered = asyncio.Queue()

    def publish(self, *plugins):
        """Changes the registry."""
        self.plugins = plugins
        self.changed.set()

    def end_watches(self):
        """Ends every watch with UNAVAILABLE."""
        self.ending = True
        self.changed.set()

    async def WatchPlugins(self, request, context):
        self.watchers += 1
        while True:
            yield plugin.WatchPluginsResponse(plugins=self.plugins, revision=self.watchers)
            await self.changed.wait()
            self.changed.clear()
            if self.ending:
                self.ending = False
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async def Gate(self, request, context):
        await self._record(request, context)
        return self.gate

    async def Modify(self, request, context):
        await self._record(request, context)
        return hook.ModifyResponse(payload=self.payload)

    async def Observe(self, request, context):
        await self._record(request, context)
        self.delivered.put_nowait((context.caller.tenant, request.subject.turn_id))
        return hook.ObserveResponse()

    async def _record(self, request, context):
        self.calls.append(request)
        if self.errors:
            await context.abort(self.errors.pop(0), "as set")


@pytest.fixture
async def channel_to():
    """Makes channels to fake plugin services."""
    servers = []

    def to(service):
        server = InProcessServer()
        plugin_service_pb2_grpc.add_PluginServiceServicer_to_server(service, server)
        hook_service_pb2_grpc.add_HookServiceServicer_to_server(service, server)
        servers.append(server)
        return InProcessChannel(server)

    yield to
    for server in servers:
        await server.stop()


@pytest.fixture
async def hooked(channel_to):
    """Makes clients that have received the registry, and stops them."""
    made = []

    async def make(service, **options):
        hooks = HookClient(channel_to(service), **options)
        made.append(hooks)
        await hooks.start()
        await snapshot_received(hooks)
        return hooks

    yield make
    for hooks in made:
        await hooks.stop()


async def snapshot_received(hooks):
    async with asyncio.timeout(20):
        while True:
            try:
                return await hooks.check()
            except NotReady:
                await asyncio.sleep(0)


async def test_a_point_without_hooks_costs_no_call(hooked):
    service = FakePlugins(registered(GATE, MODIFY, OBSERVE, point="other"))
    hooks, payload = await hooked(service), Struct()
    await hooks.gate(SUBJECT)
    assert await hooks.modify(SUBJECT, payload) is payload
    hooks.observe(SUBJECT)
    await hooks.stop()
    assert service.calls == []


async def test_hooks_of_a_disabled_plugin_are_not_called(hooked):
    service = FakePlugins(registered(GATE, state=plugin.PLUGIN_STATE_DISABLED))
    await (await hooked(service)).gate(SUBJECT)
    assert service.calls == []


async def test_a_gate_that_allows_returns_and_gets_the_callers_key(hooked):
    service = FakePlugins(registered(GATE))
    hooks = await hooked(service)
    enter_caller(Caller(tenant="acme", key_id="ann"))
    await hooks.gate(SUBJECT)
    (request,) = service.calls
    assert request.subject.facts["key_id"] == "ann"
    assert "key_id" not in SUBJECT.facts


async def test_a_gate_that_refuses_raises_with_its_own_reason(hooked):
    service = FakePlugins(registered(GATE))
    hooks = await hooked(service)
    service.gate = hook.GateResponse(plugin="guard", reason="NO_SUNDAYS", message="Not on Sundays.")
    with pytest.raises(HookRefused) as refused:
        await hooks.gate(SUBJECT)
    assert not isinstance(refused.value, HookLimited)
    assert (refused.value.plugin, refused.value.reason) == ("guard", "NO_SUNDAYS")
    service.gate.retry_after.seconds = 3
    with pytest.raises(HookLimited) as limited:
        await hooks.gate(SUBJECT)
    assert limited.value.retry_after == 3.0


def test_a_refusal_has_the_hooks_own_reason_in_the_form_of_errorinfo():
    def described(error):
        found = ErrorTable(HOOK_RULES).describe(error)
        trailing = grpc.aio.Metadata(*found.trailing_metadata())
        call = grpc.aio.AioRpcError(found.code, grpc.aio.Metadata(), trailing, found.message)
        return remote_error(call)

    refused = described(HookRefused("guard", "not today!", "No."))
    assert (refused.code, refused.reason, refused.message) == ("PERMISSION_DENIED", "NOT_TODAY", "No.")
    assert refused.metadata == {"plugin": "guard"}
    limited = described(HookLimited("limiter", "RATE_LIMITED", "Later.", 7))
    assert (limited.code, limited.retry_after) == ("RESOURCE_EXHAUSTED", 7.0)
    assert described(HookRefused("guard", "…", "No.")).reason == "UNSPECIFIED"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
async def test_a_hook_that_cannot_be_reached_fails_open_or_closed_as_registered(hooked, code):
    payload = Struct()
    with capture_logs() as log:
        open_ = FakePlugins(registered(GATE, MODIFY))
        open_.errors = [code, code]
        hooks = await hooked(open_)
        await hooks.gate(SUBJECT)
        assert await hooks.modify(SUBJECT, payload) is payload
        closed = FakePlugins(registered(GATE, MODIFY, closed=True))
        closed.errors = [code, code]
        hooks = await hooked(closed)
        with pytest.raises(HooksUnavailable, match=f"answered {code.name}"):
            await hooks.gate(SUBJECT)
        with pytest.raises(HooksUnavailable):
            await hooks.modify(SUBJECT, payload)
    fail_closed = [line["fail_closed"] for line in log if line["event"] == "hooks_not_reached"]
    assert fail_closed == [False, False, True, True]


async def test_modify_returns_the_payload_as_the_hooks_changed_it(hooked):
    service = FakePlugins(registered(MODIFY))
    service.payload.update({"text": "changed"})
    answer = await (await hooked(service)).modify(SUBJECT, Struct())
    assert answer["text"] == "changed"


async def test_observers_get_events_in_order_with_their_callers(hooked):
    service = FakePlugins(registered(OBSERVE))
    hooks = await hooked(service)
    for tenant, turn in [("acme", "1"), ("umbrella", "2"), ("acme", "3")]:
        enter_caller(Caller(tenant=tenant))
        hooks.observe(hook.HookSubject(point="turn.started", turn_id=turn))
    async with asyncio.timeout(20):
        delivered = [await service.delivered.get() for _ in range(3)]
    assert delivered == [("acme", "1"), ("umbrella", "2"), ("acme", "3")]
    assert hooks.dropped == 0


async def test_an_event_is_retried_and_dropped_after_the_last_attempt(hooked):
    service = FakePlugins(registered(OBSERVE))
    hooks = await hooked(service)
    service.errors = [grpc.StatusCode.UNAVAILABLE]
    hooks.observe(hook.HookSubject(point="turn.started", turn_id="1"))
    async with asyncio.timeout(20):
        assert await service.delivered.get() == ("default", "1")
    service.errors = [grpc.StatusCode.UNAVAILABLE] * 3
    with capture_logs() as log:
        hooks.observe(hook.HookSubject(point="turn.started", turn_id="2"))
        await until(lambda: hooks.dropped == 1)
    assert [(line["event"], line["reason"]) for line in log] == [("hook_events_dropped", "UNAVAILABLE")]


async def test_a_full_queue_drops_and_counts_and_never_waits(hooked):
    hooks = await hooked(FakePlugins(registered(OBSERVE)), queue=2)
    with capture_logs():
        for _ in range(5):
            hooks.observe(SUBJECT)
    assert hooks.dropped == 3


async def test_stop_delivers_queued_events(hooked):
    service = FakePlugins(registered(OBSERVE))
    hooks = await hooked(service)
    for _ in range(20):
        hooks.observe(SUBJECT)
    await hooks.stop()
    await hooks.stop()
    assert service.delivered.qsize() == 20


async def test_before_the_first_snapshot_nothing_is_ready_and_gates_wait_for_it(channel_to):
    service = FakePlugins(registered(GATE))
    hooks = HookClient(channel_to(service))
    with pytest.raises(NotReady, match="has not been received"):
        await hooks.check()
    waiting = asyncio.ensure_future(hooks.gate(SUBJECT))
    await asyncio.sleep(0)
    assert not waiting.done()
    await hooks.start()
    await waiting
    assert len(service.calls) == 1
    await hooks.stop()


async def test_a_gate_waits_no_longer_than_the_calls_deadline(channel_to):
    hooks = HookClient(channel_to(FakePlugins()))
    deadline.enter_deadline(0.1)
    with pytest.raises(HooksUnavailable, match="has not been reached yet"):
        await hooks.gate(SUBJECT)


async def test_changes_of_the_registry_take_effect(hooked):
    service = FakePlugins()
    hooks = await hooked(service)
    await hooks.gate(SUBJECT)
    assert service.calls == []
    service.publish(registered(GATE))
    async with asyncio.timeout(20):
        while not service.calls:
            await hooks.gate(SUBJECT)
            await asyncio.sleep(0)


async def test_a_lost_registry_is_watched_again_and_the_last_snapshot_applies_meanwhile(hooked):
    service = FakePlugins(registered(GATE))
    hooks = await hooked(service)
    with capture_logs() as log:
        service.end_watches()
        await until(lambda: service.watchers == 2)
        await hooks.gate(SUBJECT)
        await until(lambda: [each["event"] for each in log] == ["registry_lost", "registry_seen"])
    assert len(service.calls) == 1
