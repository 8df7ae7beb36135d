"""Every call to a host: keys, scopes, tenants, limits, one line in the log, metrics."""

import asyncio
import urllib.request

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.peers import InProcessPeers, NetworkPeers
from clawdbot_servicekit.stream_drain import StreamDrain
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from tests.support.conditions import until
from tests.support.engines import ENGINES, make_engine_server
from tests.support.hosts import hosting, trial_settings
from tests.support.trial_service import invoke, ticks

KEY = "cb_test_ann_0123456789abcdef"
TOKEN = "service-token-0123456789"
KEYS = {
    "keys": [
        {"id": "ann", "tenant": "acme", "key": KEY},
        {"id": "bob", "key": "models-only-0123456789abcdef", "scopes": ["models"]},
    ],
    "service_token": TOKEN,
}
LIST = tool_service_pb2.ListToolsRequest()


async def refusal(channel, metadata=None, request=LIST):
    """The error of a refused ListTools."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tool_service_pb2_grpc.ToolServiceStub(channel).ListTools(request, metadata=metadata)
    return remote_error(caught.value)


async def tenant(channel, *metadata):
    """The tenant that the service sees."""
    stub = tool_service_pb2_grpc.ToolServiceStub(channel)
    return (await stub.ListTools(LIST, metadata=metadata)).tools[1].spec.name


async def test_a_key_is_accepted_and_names_the_tenant(tmp_path):
    async with hosting(tmp_path, auth=KEYS) as hosted, hosted.insecure() as channel:
        assert await tenant(channel, ("authorization", f"Bearer {KEY}")) == "acme"
        assert await tenant(channel, ("x-api-key", KEY), ("x-clawdbot-tenant", "other")) == "acme"


async def test_no_key_a_wrong_key_and_a_key_without_the_scope_are_refused_with_a_reason(tmp_path):
    async with hosting(tmp_path, auth=KEYS) as hosted, hosted.insecure() as channel:
        none = await refusal(channel)
        assert (none.code, none.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        wrong = await refusal(channel, (("x-api-key", "canary-key-0123456789"),))
        assert wrong.code == "UNAUTHENTICATED"
        assert "canary" not in wrong.message
        scope = await refusal(channel, (("x-api-key", "models-only-0123456789abcdef"),))
        assert (scope.code, scope.metadata) == ("PERMISSION_DENIED", {"scope": "tools"})


async def test_probes_need_no_key(tmp_path):
    async with hosting(tmp_path, auth=KEYS) as hosted, hosted.insecure() as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_probe_that_is_no_name_but_a_large_message_is_refused_undecoded(tmp_path):
    async with hosting(tmp_path, auth=KEYS) as hosted, hosted.insecure() as channel:
        request = health_pb2.HealthCheckRequest(service="x" * 100_000)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health_pb2_grpc.HealthStub(channel).Check(request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_service_calls_for_the_tenant_of_the_running_call(tmp_path):
    """Over the network with the service token; in process without any credentials."""
    from clawdbot_servicekit.caller import Caller, enter_caller

    async with hosting(tmp_path, auth=KEYS) as hosted:
        settings = trial_settings(tmp_path, auth=KEYS, peers={"plugins": hosted.address})
        network = NetworkPeers(settings)
        enter_caller(Caller(tenant="acme"))
        assert await tenant(network.channel("plugins")) == "acme"
        assert await tenant(InProcessPeers(hosted.host).channel("plugins")) == "acme"
        await network.close()


async def test_more_calls_than_the_limit_are_refused_with_retry_info(tmp_path):
    async with (
        hosting(tmp_path, server={"max_concurrent_calls": 1}) as hosted,
        hosted.insecure() as channel,
    ):
        stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(1_000_000, 0.01)))
        await anext(stream)
        refused = await refusal(channel)
        assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert refused.retry_after


async def test_a_caller_without_a_deadline_gets_the_default_and_no_caller_more_than_the_maximum(tmp_path):
    limits = {"default_deadline": 0.05, "max_deadline": 0.1}
    async with hosting(tmp_path, server=limits) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        for timeout in (None, 3600):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [event async for event in stub.InvokeTool(ticks(1_000_000, 0.01), timeout=timeout)]
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_maximum_holds_for_callers_without_a_deadline_too(tmp_path, engine):
    limits = {"max_deadline": 0.1, "engine": engine}
    async with hosting(tmp_path, server=limits) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        async with asyncio.timeout(20):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [event async for event in stub.InvokeTool(ticks(1_000_000, 0.01))]
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def calls_in(log):
    return [line for line in log if line["event"] == "call"]


async def test_every_call_is_one_line_in_the_log(tmp_path):
    async with hosting(tmp_path, auth=KEYS) as hosted, hosted.insecure() as channel:
        with capture_logs() as log:
            await tenant(channel, ("x-api-key", KEY))
            await refusal(channel, (("x-api-key", "canary-key-0123456789"),))
            # The caller has its response before the server has written its line.
            await until(lambda: len(calls_in(log)) == 2)
    lines = calls_in(log)
    assert [(line["code"], line.get("tenant"), line.get("key")) for line in lines] == [
        ("OK", "acme", "ann"),
        ("UNAUTHENTICATED", None, None),
    ]
    assert {line["method"] for line in lines} == {"clawdbot.plugins.v1.ToolService/ListTools"}
    assert all(line["ms"] >= 0 for line in lines)
    assert "canary" not in str(log)


async def test_an_unexpected_error_is_internal_and_does_not_show_its_text(tmp_path):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        with capture_logs(), pytest.raises(grpc.aio.AioRpcError) as caught:
            [event async for event in stub.InvokeTool(invoke("fail", text="canary-text"))]
        assert caught.value.code() == grpc.StatusCode.INTERNAL
        assert "canary" not in caught.value.details()


async def test_metrics_are_served_over_http(tmp_path):
    async with hosting(tmp_path, telemetry={"metrics_port": 0}) as hosted, hosted.insecure() as channel:
        await tenant(channel)
        url = f"http://127.0.0.1:{hosted.host.metrics_port}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    assert 'clawdbot_application_ready{application="plugins"} 1.0' in text
    method = "clawdbot.plugins.v1.ToolService/ListTools"
    labels = f'{{rpc_method="{method}",rpc_response_status_code="OK"}}'
    assert f"rpc_server_call_duration_seconds_count{labels} 1.0" in text


async def test_a_watch_ends_when_the_server_drains_and_any_other_stream_continues():
    """The drain must not wait for the whole grace because of callers that only wait for changes."""
    ended = []

    def endless(name):
        async def work(request, context):
            try:
                await context.write(request)
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        return grpc.unary_stream_rpc_method_handler(work)

    draining = asyncio.Event()
    target = make_engine_server()
    server = target.server
    handlers = {name: endless(name) for name in ("WatchThings", "Other")}
    StreamDrain(target, draining).add_registered_method_handlers("test.Things", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = channel.unary_stream("/test.Things/WatchThings")(b"x")
        other = channel.unary_stream("/test.Things/Other")(b"x")
        assert (await watch.read(), await other.read()) == (b"x", b"x")
        draining.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert remote_error(caught.value).reason == "SHUTTING_DOWN"
        assert ended == ["WatchThings"]
        other.cancel()
    await server.stop(None)
