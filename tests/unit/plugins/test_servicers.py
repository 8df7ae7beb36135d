"""The three services over a real port and the in-process channel, on real hosts."""

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

from tests.support.plugin_service import serving


class Trial:
    def __init__(self):
        self.plugin = plugin = Plugin("trial", version="2.1.0", description="For trying out.")
        self.contexts = []
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

        @plugin.tool(effect="once", timeout="3s")
        async def tell(ctx: Context, words: int = 2) -> dict[str, int]:
            """Tell words."""
            self.contexts.append(ctx)
            for number in range(words):
                await ctx.progress(None if number else 0.0, "telling")
                await ctx.partial(f"word {number}")
            return {"words": words}

        @plugin.tool()
        async def fail() -> None:
            """Fail."""
            raise ToolError("The till is on fire.")

        @plugin.tool()
        async def hang() -> None:
            """Never end."""
            self.begun.set()
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
    return served.client if request.param == "tcp" else served.inside


async def failure(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return remote_error(caught.value)


async def test_plugins_are_listed_with_what_they_bring(client):
    answer = await client.plugins.ListPlugins(plugin_wire.ListPluginsRequest())
    assert [each.name for each in answer.plugins] == ["calculator", "clock", "tables", "trial"]
    plugin = answer.plugins[-1]
    assert (plugin.version, plugin.description) == ("2.1.0", "For trying out.")
    assert plugin.runtime == plugin_wire.PLUGIN_RUNTIME_BUILTIN
    assert plugin.state == plugin_wire.PLUGIN_STATE_READY
    assert sorted(plugin.tools) == ["trial.fail", "trial.hang", "trial.tell"]
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


async def test_a_list_comes_in_pages(client):
    first = await client.plugins.ListPlugins(plugin_wire.ListPluginsRequest(page_size=3))
    second = await client.plugins.ListPlugins(
        plugin_wire.ListPluginsRequest(page_size=3, page_token=first.next_page_token)
    )
    assert (len(first.plugins), len(second.plugins), second.next_page_token) == (3, 1, "")
    fault = await failure(client.plugins.ListPlugins(plugin_wire.ListPluginsRequest(page_token="x")))
    assert (fault.code, fault.violations[0].field) == ("INVALID_ARGUMENT", "page_token")


async def test_one_plugin_is_told_and_an_unknown_one_is_not_found_with_the_nearest_name(client):
    answer = await client.plugins.GetPlugin(plugin_wire.GetPluginRequest(name="trial"))
    assert answer.plugin.version == "2.1.0"
    fault = await failure(client.plugins.GetPlugin(plugin_wire.GetPluginRequest(name="trail")))
    assert (fault.code, fault.reason, fault.domain) == ("NOT_FOUND", "PLUGIN_NOT_FOUND", "clawdbot.dev")
    assert fault.message == "There is no plugin trail. Did you mean trial?"
    assert fault.metadata == {"name": "trail"}


async def test_a_watch_begins_with_the_whole_registry(client):
    watch = client.plugins.WatchPlugins(plugin_wire.WatchPluginsRequest())
    news = await watch.read()
    assert news.revision == 1
    assert [each.name for each in news.plugins] == ["calculator", "clock", "tables", "trial"]
    watch.cancel()


async def test_a_watch_ends_when_the_service_stops(served):
    watch = served.client.plugins.WatchPlugins(plugin_wire.WatchPluginsRequest())
    await watch.read()
    stopping = asyncio.create_task(served.host.stop(5))
    try:
        assert await watch.read() is grpc.aio.EOF
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - either end is in order
    await stopping


async def test_tools_are_listed_with_their_schemas(client):
    answer = await client.tools.ListTools(tool_wire.ListToolsRequest(plugin="trial"))
    assert [each.spec.name for each in answer.tools] == ["trial.fail", "trial.hang", "trial.tell"]
    tell = answer.tools[-1]
    assert (tell.plugin, tell.effect, tell.timeout.seconds) == ("trial", tool_wire.TOOL_EFFECT_ONCE, 3)
    assert tell.spec.description == "Tell words."
    assert tell.spec.input_schema["properties"]["words"]["type"] == "integer"
    assert tell.spec.output_schema["type"] == "object"
    fault = await failure(client.tools.ListTools(tool_wire.ListToolsRequest(plugin="trail")))
    assert fault.reason == "PLUGIN_NOT_FOUND"


async def test_a_call_streams_progress_partial_output_and_last_its_result(client, trial):
    events = await client.events("trial.tell", words=2)
    assert [each.WhichOneof("event") for each in events] == [
        "progress",
        "partial",
        "progress",
        "partial",
        "result",
    ]
    assert (events[0].progress.fraction, events[0].progress.message) == (0.0, "telling")
    assert not events[2].progress.HasField("fraction")
    assert events[1].partial == Part(text="word 0")
    result = events[-1].result
    assert list(result.content) == [Part(text='{"words":2}')]
    assert result.structured["words"] == 2
    assert not result.is_error


async def test_a_tool_learns_on_whose_behalf_it_runs(client, trial):
    context = {
        "session_id": "s-1",
        "turn_id": "t-1",
        "flow": "book_table",
        "state": "book",
        "locale": "de-CH",
        "time_zone": "Europe/Zurich",
    }
    await client.result("trial.tell", "r-9", context)
    (told,) = trial.contexts
    assert (told.request_id, told.tenant, told.session_id, told.turn_id) == ("r-9", "default", "s-1", "t-1")
    assert (told.flow, told.flow_state, told.locale) == ("book_table", "book", "de-CH")
    assert told.now().tzinfo.key == "Europe/Zurich"


async def test_a_once_only_call_is_answered_again_with_its_first_result(client, trial):
    first = await client.result("trial.tell", "r-1", words=1)
    again = await client.events("trial.tell", "r-1", words=1)
    assert [each.result for each in again] == [first]
    assert len(trial.contexts) == 1


async def test_a_tools_own_failure_is_a_result(client):
    result = await client.result("trial.fail")
    assert result.is_error
    assert list(result.content) == [Part(text="The till is on fire.")]
    assert not result.HasField("structured")


async def test_cancelling_the_call_cancels_the_tool(client, trial):
    call = client.call("trial.hang")
    reading = asyncio.create_task(call.read())
    await trial.begun.wait()
    call.cancel()
    await trial.cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_deadline_cancels_the_tool(client, trial):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.tools.InvokeTool(tool_wire.InvokeToolRequest(tool="trial.hang"), timeout=0.3).read()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await trial.cancelled.wait()


async def test_a_gate_answers_and_a_refusal_is_an_answer(client):
    assert (await client.gate("before_turn")).allowed
    no = await client.gate("before_turn", session_id="no")
    assert (no.allowed, no.plugin, no.reason, no.message) == (False, "trial", "BLOCKED", "Not you.")
    assert not no.HasField("retry_after")
    later = await client.gate("before_turn", session_id="later")
    assert later.retry_after.ToTimedelta().total_seconds() == 1.5


async def test_modify_gives_the_payload_as_the_hooks_left_it(client):
    subject = hook_wire.HookSubject(point="before_generate")
    request = hook_wire.ModifyRequest(subject=subject)
    request.payload.update({"model": "chat", "n": 1})
    answer = await client.hooks.Modify(request)
    assert (answer.payload["model"], answer.payload["n"]) == ("another", 1)
    assert list(answer.modified_by) == ["trial"]
    untouched = await client.hooks.Modify(hook_wire.ModifyRequest(subject=subject))
    assert list(untouched.modified_by) == []


async def test_observe_returns_when_the_event_is_queued(client, trial, served):
    assert await client.observe("turn_done", {"seconds": 1.5}, turn_id="t-1") == 0
    await served.host.stop(0)
    assert [each.turn_id for each in trial.contexts] == ["t-1"]


async def test_a_point_must_be_named(client):
    fault = await failure(client.gate(""))
    assert (fault.code, fault.violations[0].field) == ("INVALID_ARGUMENT", "subject.point")


@pytest.mark.parametrize(
    "name",
    ["InstallPlugin", "UpgradePlugin", "UninstallPlugin", "EnablePlugin", "DisablePlugin", "SearchMarket"],
)
async def test_what_comes_later_says_so(client, name):
    fault = await failure(getattr(client.plugins, name)(getattr(plugin_wire, f"{name}Request")()))
    assert (fault.code, fault.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED_YET")
    assert fault.message == f"{name} comes with a later version of Clawdbot."


async def test_a_key_decides_the_tenant(tmp_path, trial):
    auth = {"keys": [{"id": "front", "tenant": "acme", "key": "k" * 20, "scopes": ["tools"]}]}
    async with serving(tmp_path, trial.plugin, auth=auth) as served:
        await served.with_key("k" * 20).result("trial.tell")
        assert (await served.client.fault("trial.tell")).code == "UNAUTHENTICATED"
        fault = await failure(served.with_key("k" * 20).gate("before_turn"))
        assert (fault.code, fault.metadata) == ("PERMISSION_DENIED", {"scope": "hooks"})
    (told,) = trial.contexts
    assert (told.tenant, told.key_id) == ("acme", "front")


async def test_a_service_names_the_key_that_it_was_called_with(tmp_path, trial):
    async with serving(tmp_path, trial.plugin, auth={"service_token": "s" * 20}) as served:
        client = served.with_key("s" * 20)
        client._metadata += (("x-clawdbot-tenant", "acme"),)
        subject = hook_wire.HookSubject(point="before_turn")
        subject.facts.update({"key_id": "front"})
        await client.hooks.Gate(hook_wire.GateRequest(subject=subject), metadata=client._metadata)
    (told,) = trial.contexts
    assert (told.tenant, told.key_id) == ("acme", "front")
