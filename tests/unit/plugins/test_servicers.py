"""The three services over a real port and the in-process channel, on a real host."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from clawdbot.common.v1.message_pb2 import Part
from clawdbot.plugins.v1 import hook_service_pb2 as hook_wire
from clawdbot.plugins.v1 import plugin_service_pb2 as plugin_wire
from clawdbot.plugins.v1 import tool_service_pb2 as tool_wire
from clawdbot_plugin_sdk import Context, Plugin, Refusal, ToolError
from clawdbot_servicekit.error_table import remote_error

from tests.support.deadlines import expired
from tests.support.plugin_service import serving


class Trial:
    def __init__(self):
        self.plugin = plugin = Plugin("trial", version="2.1.0", description="A trial.")
        self.contexts = []
        self.started, self.cancelled = asyncio.Event(), asyncio.Event()

        @plugin.tool(effect="once", timeout="3s")
        async def emit(ctx: Context, words: int = 2) -> dict[str, int]:
            """Emit words."""
            self.contexts.append(ctx)
            for number in range(words):
                await ctx.progress(None if number else 0.0, "emitting")
                await ctx.partial(f"word {number}")
            return {"words": words}

        @plugin.tool()
        async def fail() -> None:
            """Fail."""
            raise ToolError("The till is on fire.")

        @plugin.tool()
        async def hang() -> None:
            """Never end."""
            self.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()

        @plugin.gate("before_turn", priority=7, timeout="250ms", max_in_flight=3)
        async def gate(subject, ctx):
            self.contexts.append(ctx)
            match subject.session_id:
                case "no":
                    return Refusal("BLOCKED", "Not you.")
                case "later":
                    return Refusal("SLOW_DOWN", "Slowly.", retry_after=1.5)
            return None

        @plugin.modify("before_generate")
        async def modify(payload, subject, ctx):
            return {**payload, "model": "another"} if "model" in payload else None

        @plugin.observe("turn_done", max_in_flight=1)
        async def observe(subject, ctx):
            self.contexts.append(ctx)


@pytest.fixture
def trial():
    return Trial()


@pytest.fixture
async def served(trial, tmp_path):
    async with serving(tmp_path, trial.plugin) as served:
        yield served


@pytest.fixture(params=["tcp", "in-process"])
def client(request, served):
    return served.client if request.param == "tcp" else served.in_process


async def error_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return remote_error(caught.value)


async def test_plugins_are_listed_with_their_tools_and_hooks(client):
    answer = await client.plugins.ListPlugins(plugin_wire.ListPluginsRequest())
    assert [each.name for each in answer.plugins] == ["calculator", "clock", "tables", "trial"]
    plugin = answer.plugins[-1]
    assert (plugin.version, plugin.description) == ("2.1.0", "A trial.")
    assert plugin.runtime == plugin_wire.PLUGIN_RUNTIME_BUILTIN
    assert plugin.state == plugin_wire.PLUGIN_STATE_READY
    assert sorted(plugin.tools) == ["trial.emit", "trial.fail", "trial.hang"]
    gate = plugin.hooks[0]
    assert (gate.point, gate.kind, gate.priority, gate.max_in_flight) == (
        "before_turn",
        hook_wire.HOOK_KIND_GATE,
        7,
        3,
    )
    assert gate.timeout.ToTimedelta().total_seconds() == 0.25
    assert gate.failure_policy == hook_wire.FAILURE_POLICY_CLOSED
    assert plugin.start_time.ToSeconds() > 0


async def test_a_list_is_paginated(client):
    first = await client.plugins.ListPlugins(plugin_wire.ListPluginsRequest(page_size=3))
    second = await client.plugins.ListPlugins(
        plugin_wire.ListPluginsRequest(page_size=3, page_token=first.next_page_token)
    )
    assert (len(first.plugins), len(second.plugins), second.next_page_token) == (3, 1, "")
    error = await error_of(client.plugins.ListPlugins(plugin_wire.ListPluginsRequest(page_token="x")))
    assert (error.code, error.violations[0].field) == ("INVALID_ARGUMENT", "page_token")


async def test_get_returns_one_plugin_and_an_unknown_name_is_not_found_with_the_nearest_one(client):
    answer = await client.plugins.GetPlugin(plugin_wire.GetPluginRequest(name="trial"))
    assert answer.plugin.version == "2.1.0"
    error = await error_of(client.plugins.GetPlugin(plugin_wire.GetPluginRequest(name="trail")))
    assert (error.code, error.reason, error.domain) == ("NOT_FOUND", "PLUGIN_NOT_FOUND", "clawdbot.dev")
    assert error.message == "There is no plugin trail. Did you mean trial?"
    assert error.metadata == {"name": "trail"}


async def test_a_watch_starts_with_the_whole_registry(client):
    watch = client.plugins.WatchPlugins(plugin_wire.WatchPluginsRequest())
    response = await watch.read()
    assert response.revision == 1
    assert [each.name for each in response.plugins] == ["calculator", "clock", "tables", "trial"]
    watch.cancel()


async def test_a_watch_ends_when_the_service_stops(served):
    watch = served.client.plugins.WatchPlugins(plugin_wire.WatchPluginsRequest())
    await watch.read()
    stopping = asyncio.create_task(served.host.stop(5))
    try:
        assert await watch.read() is grpc.aio.EOF
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - either is a proper end
    await stopping


async def test_tools_are_listed_with_their_schemas(client):
    answer = await client.tools.ListTools(tool_wire.ListToolsRequest(plugin="trial"))
    assert [each.spec.name for each in answer.tools] == ["trial.emit", "trial.fail", "trial.hang"]
    emit = answer.tools[0]
    assert (emit.plugin, emit.effect, emit.timeout.seconds) == ("trial", tool_wire.TOOL_EFFECT_ONCE, 3)
    assert emit.spec.description == "Emit words."
    assert emit.spec.input_schema["properties"]["words"]["type"] == "integer"
    assert emit.spec.output_schema["type"] == "object"
    error = await error_of(client.tools.ListTools(tool_wire.ListToolsRequest(plugin="trail")))
    assert error.reason == "PLUGIN_NOT_FOUND"


async def test_a_call_streams_progress_partial_output_and_finally_its_result(client, trial):
    events = await client.events("trial.emit", words=2)
    assert [each.WhichOneof("event") for each in events] == [
        "progress",
        "partial",
        "progress",
        "partial",
        "result",
    ]
    assert (events[0].progress.fraction, events[0].progress.message) == (0.0, "emitting")
    assert not events[2].progress.HasField("fraction")
    assert events[1].partial == Part(text="word 0")
    result = events[-1].result
    assert list(result.content) == [Part(text='{"words":2}')]
    assert result.structured["words"] == 2
    assert not result.is_error


async def test_a_tool_gets_the_callers_context(client, trial):
    sent = {
        "session_id": "s-1",
        "turn_id": "t-1",
        "flow": "book_table",
        "state": "book",
        "locale": "de-CH",
        "time_zone": "Europe/Zurich",
    }
    await client.result("trial.emit", "r-9", sent)
    (context,) = trial.contexts
    assert (context.request_id, context.tenant, context.session_id, context.turn_id) == (
        "r-9",
        "default",
        "s-1",
        "t-1",
    )
    assert (context.flow, context.flow_state, context.locale) == ("book_table", "book", "de-CH")
    assert context.now().tzinfo.key == "Europe/Zurich"


async def test_a_repeated_once_only_call_gets_the_first_result(client, trial):
    first = await client.result("trial.emit", "r-1", words=1)
    again = await client.events("trial.emit", "r-1", words=1)
    assert [each.result for each in again] == [first]
    assert len(trial.contexts) == 1


async def test_a_tool_error_is_a_result(client):
    result = await client.result("trial.fail")
    assert result.is_error
    assert list(result.content) == [Part(text="The till is on fire.")]
    assert not result.HasField("structured")


async def test_cancelling_the_call_cancels_the_tool(client, trial):
    call = client.call("trial.hang")
    reading = asyncio.create_task(call.read())
    await trial.started.wait()
    call.cancel()
    await trial.cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_deadline_cancels_the_tool(client, trial):
    async def attempt(seconds):
        call = client.tools.InvokeTool(tool_wire.InvokeToolRequest(tool="trial.hang"), timeout=seconds)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        return caught.value.code()

    assert await expired(attempt, trial.started.is_set) is grpc.StatusCode.DEADLINE_EXCEEDED
    await trial.cancelled.wait()


async def test_a_refusal_of_a_gate_is_a_response(client):
    assert (await client.gate("before_turn")).allowed
    refused = await client.gate("before_turn", session_id="no")
    assert (refused.allowed, refused.plugin, refused.reason, refused.message) == (
        False,
        "trial",
        "BLOCKED",
        "Not you.",
    )
    assert not refused.HasField("retry_after")
    later = await client.gate("before_turn", session_id="later")
    assert later.retry_after.ToTimedelta().total_seconds() == 1.5


async def test_modify_returns_the_payload_as_the_hooks_changed_it(client):
    subject = hook_wire.HookSubject(point="before_generate")
    request = hook_wire.ModifyRequest(subject=subject)
    request.payload.update({"model": "chat", "n": 1})
    answer = await client.hooks.Modify(request)
    assert (answer.payload["model"], answer.payload["n"]) == ("another", 1)
    assert list(answer.modified_by) == ["trial"]
    unchanged = await client.hooks.Modify(hook_wire.ModifyRequest(subject=subject))
    assert list(unchanged.modified_by) == []


async def test_observe_returns_when_the_event_is_queued(client, trial, served):
    assert await client.observe("turn_done", {"seconds": 1.5}, turn_id="t-1") == 0
    await served.host.stop(0)
    assert [each.turn_id for each in trial.contexts] == ["t-1"]


async def test_the_point_is_required(client):
    error = await error_of(client.gate(""))
    assert (error.code, error.violations[0].field) == ("INVALID_ARGUMENT", "subject.point")


@pytest.mark.parametrize(
    "name",
    ["InstallPlugin", "UpgradePlugin", "UninstallPlugin", "EnablePlugin", "DisablePlugin", "SearchMarket"],
)
async def test_rpcs_of_later_versions_are_unimplemented(client, name):
    error = await error_of(getattr(client.plugins, name)(getattr(plugin_wire, f"{name}Request")()))
    assert (error.code, error.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED_YET")
    assert error.message == f"{name} comes with a later version of Clawdbot."


async def test_an_api_key_decides_the_tenant(tmp_path, trial):
    auth = {"keys": [{"id": "front", "tenant": "acme", "key": "k" * 24, "scopes": ["tools"]}]}
    async with serving(tmp_path, trial.plugin, auth=auth) as served:
        await served.with_key("k" * 24).result("trial.emit")
        assert (await served.client.error("trial.emit")).code == "UNAUTHENTICATED"
        error = await error_of(served.with_key("k" * 24).gate("before_turn"))
        assert (error.code, error.metadata) == ("PERMISSION_DENIED", {"scope": "hooks"})
    (context,) = trial.contexts
    assert (context.tenant, context.key_id) == ("acme", "front")


async def test_a_service_passes_on_the_key_of_its_caller(tmp_path, trial):
    async with serving(tmp_path, trial.plugin, auth={"service_token": "s" * 24}) as served:
        client = served.with_key("s" * 24)
        client._metadata += (("x-clawdbot-tenant", "acme"),)
        subject = hook_wire.HookSubject(point="before_turn")
        subject.facts.update({"key_id": "front"})
        await client.hooks.Gate(hook_wire.GateRequest(subject=subject), metadata=client._metadata)
    (context,) = trial.contexts
    assert (context.tenant, context.key_id) == ("acme", "front")
