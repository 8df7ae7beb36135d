"""One server's life: start, health, drain."""

import asyncio
import errno
import socket

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.host import Host
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from tests.support.conditions import until
from tests.support.engines import GRPCIO_ONLY
from tests.support.hosts import hosting, trial_settings
from tests.support.ports import refuses
from tests.support.trial_service import SERVICE, Trial, TrialSection, ticks

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def health(channel, service=""):
    answer = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=5
    )
    return answer.status


async def test_a_host_serves_its_applications(tmp_path):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        answer = await tool_service_pb2_grpc.ToolServiceStub(channel).ListTools(
            tool_service_pb2.ListToolsRequest()
        )
        assert len(answer.tools) == 3


async def test_health_follows_the_dependencies(tmp_path):
    """Live at once; ready and serving only while the check passes."""
    needed = tmp_path / "needed"
    section = TrialSection(ready_file=needed)
    async with hosting(tmp_path, section, until_ready=False) as hosted, hosted.insecure() as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == NOT_SERVING
        assert await health(channel, "liveness") == SERVING
        for name in ("", "readiness", SERVICE):
            assert await health(channel, name) == NOT_SERVING
        needed.touch()
        assert (await watch.read()).status == SERVING
        for name in ("", "readiness", SERVICE):
            assert await health(channel, name) == SERVING
        needed.unlink()
        assert (await watch.read()).status == NOT_SERVING
        assert await health(channel, "liveness") == SERVING


async def test_an_unknown_name_is_not_found_by_check_and_service_unknown_to_watch(tmp_path):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel, "no.such.Service")
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="no.such"))
        assert (await watch.read()).status == SERVICE_UNKNOWN
        watch.cancel()


async def test_a_drain_lets_a_stream_end_and_accepts_no_new_call(tmp_path):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel, hosted.insecure() as other:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        await health(other)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stream = aiter(stub.InvokeTool(ticks(20, 0.02)))
        assert (await anext(stream)).progress.message == "0"
        stopping = asyncio.create_task(hosted.host.stop(10))
        assert (await watch.read()).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        rest = [event async for event in stream]
        assert len(rest) == 20
        assert rest[-1].WhichOneof("event") == "result"
        await stopping
        assert hosted.trial.stopped == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await tool_service_pb2_grpc.ToolServiceStub(other).ListTools(tool_service_pb2.ListToolsRequest())
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_who_waits_for_ready_during_a_drain_gets_the_successor(tmp_path):
    """New connections are refused while calls of the old ones end, so the client tries again."""
    async with hosting(tmp_path / "old") as old, old.insecure() as channel:
        stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(100, 0.05)))
        await anext(stream)
        stopping = asyncio.create_task(old.host.stop(60))
        port = old.host.port
        await until(lambda: refuses(port))
        fresh = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100))
        async with old.insecure(*fresh) as waiting:
            call = tool_service_pb2_grpc.ToolServiceStub(waiting).ListTools(
                tool_service_pb2.ListToolsRequest(plugin="waited"), wait_for_ready=True, timeout=30
            )
            call = asyncio.ensure_future(call)
            async with hosting(tmp_path / "new", server={"port": port}):
                assert (await call).tools[2].spec.name == "waited"
                assert len([event async for event in stream]) == 100
                await stopping


async def test_a_server_stops_although_it_has_no_descriptor_left(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(20, 0.02)))
        await anext(stream)
        monkeypatch.setattr(socket, "create_server", refuse)
        stopping = asyncio.create_task(hosted.host.stop(30))
        assert len([event async for event in stream]) == 20
        await stopping
        assert hosted.trial.stopped == 1


async def test_calls_that_outlast_the_grace_end_with_unavailable(tmp_path):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        streams = [aiter(stub.InvokeTool(ticks(1_000_000, 0.01))) for _ in range(50)]
        await asyncio.gather(*(anext(each) for each in streams))
        await hosted.host.stop(0.05)
        for stream in streams:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [event async for event in stream]
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            # The server has sent it: the connection did not just end.
            assert caught.value.details() in {"The server has stopped.", "Cancelling all calls"}
        assert hosted.trial.tools.running == 0


async def test_a_second_stop_ends_the_wait(tmp_path):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(1_000_000, 0.01)))
        await anext(stream)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        first = asyncio.create_task(hosted.host.stop(3600))
        assert (await watch.read()).status == NOT_SERVING
        async with asyncio.timeout(20):
            await hosted.host.stop()
            await first
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [event async for event in stream]
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_while_settling_calls_are_still_accepted(tmp_path):
    """Load balancers need time to notice that the server is not ready."""
    async with hosting(tmp_path, server={"settle": 3600}) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(hosted.host.stop(10))
        assert (await watch.read()).status == NOT_SERVING
        assert len((await stub.ListTools(tool_service_pb2.ListToolsRequest())).tools) == 3
        await hosted.host.stop()
        await stopping


async def test_closers_run_after_the_application_in_reverse_order(tmp_path):
    order = []
    host = Host(trial_settings(tmp_path))
    trial = Trial(TrialSection())
    host.add(trial)

    async def close(name):
        order.append((name, trial.stopped))

    host.on_stop(lambda: close("first"))
    host.on_stop(lambda: close("second"))
    await host.start()
    await host.stop(0)
    assert order == [("second", 1), ("first", 1)]


async def test_an_application_that_cannot_start_stops_the_others(tmp_path):
    host = Host(trial_settings(tmp_path))
    good, bad, never = Trial(TrialSection()), Trial(TrialSection(refuse="No.")), Trial(TrialSection())
    good.register = bad.register = lambda server: None
    for each in (good, bad, never):
        host.add(each)
    with pytest.raises(StartupError, match="No"):
        await host.start()
    await host.stop()
    assert (good.stopped, bad.stopped, never.stopped) == (1, 1, 0)


async def test_a_taken_port_is_an_error_of_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        host = Host(trial_settings(tmp_path, server={"port": port}))
        with pytest.raises(StartupError) as caught:
            await host.start()
        await host.stop()
    other = port + 1 if port >= 9000 else 9000
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is taken. Stop what uses it, or choose another: "
        f"--port {other} or CLAWDBOT_SERVER__PORT={other}."
    )


async def test_a_host_that_does_not_exist_is_an_error_of_one_sentence(tmp_path):
    host = Host(trial_settings(tmp_path, server={"host": "no-such-host.invalid"}))
    with pytest.raises(StartupError, match=r"Cannot resolve the host no-such-host\.invalid"):
        await host.start()
    await host.stop()


@pytest.mark.parametrize(("host", "reason"), [("192.0.2.7", "no interface of this machine"), ("fe80::1", "")])
async def test_an_address_of_another_machine_is_an_error_about_the_host(tmp_path, host, reason):
    server = Host(trial_settings(tmp_path, server={"host": host}))
    with pytest.raises(StartupError, match=f"Cannot listen on {host}: {reason}") as caught:
        await server.start()
    assert "Errno" not in str(caught.value)
    await server.stop()


async def test_a_state_directory_that_cannot_be_created_is_an_error_of_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    host = Host(trial_settings(tmp_path / "file" / "state"))
    with pytest.raises(
        StartupError, match=r"Cannot create the state directory .*: Not a directory\. Choose another"
    ):
        await host.start()
    await host.stop()


async def test_listening_on_other_interfaces_without_tls_warns(tmp_path):
    with capture_logs() as log:
        async with hosting(tmp_path, server={"host": "0.0.0.0"}):
            pass
    assert {"listening_without_tls", "listening_without_keys"} <= {line["event"] for line in log}


@pytest.mark.parametrize(
    "section", [{}, {"server": {"host": "0.0.0.0"}, "auth": {"service_token": "t" * 24}}]
)
async def test_listening_on_loopback_or_with_keys_does_not_warn_about_keys(tmp_path, section):
    with capture_logs() as log:
        async with hosting(tmp_path, **section):
            pass
    assert "listening_without_keys" not in [line["event"] for line in log]


@GRPCIO_ONLY
async def test_a_unix_socket_is_private_and_a_stale_one_is_replaced(tmp_path):
    path = tmp_path / "clawdbot.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with hosting(tmp_path, server={"socket": path}):
        assert path.stat().st_mode & 0o777 == 0o600
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            assert await health(channel) == SERVING
        second = Host(trial_settings(tmp_path, server={"socket": path}))
        with pytest.raises(StartupError, match="Another server listens"):
            await second.start()
        await second.stop()
    assert not path.exists()


@GRPCIO_ONLY
@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/proc/clawdbot.sock", "its folder does not allow it"),
        ("/no/such/folder/clawdbot.sock", "does not exist"),
        ("/dev/null", "is not a socket"),
        (f"/tmp/{'s' * 110}", "longer than the 107 bytes"),
    ],
)
async def test_a_unix_socket_that_cannot_be_made_is_an_error_of_one_sentence(tmp_path, path, sentence):
    host = Host(trial_settings(tmp_path, server={"socket": path}))
    with pytest.raises(StartupError, match=sentence):
        await host.start()
    await host.stop()


@GRPCIO_ONLY
async def test_a_file_at_the_sockets_path_is_not_touched(tmp_path):
    path = tmp_path / "precious"
    path.write_text("keep")
    host = Host(trial_settings(tmp_path, server={"socket": path}))
    with pytest.raises(StartupError, match="is not a socket"):
        await host.start()
    await host.stop()
    assert path.read_text() == "keep"


async def test_a_burst_of_calls_is_not_lost(tmp_path):
    """By default gRPC drops waiting calls beyond 1,000 with CANCELLED."""
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        calls = [stub.ListTools(tool_service_pb2.ListToolsRequest()) for _ in range(3000)]
        assert len(await asyncio.gather(*calls)) == 3000


async def test_thousands_of_streams_at_once_are_all_served_and_all_released(tmp_path):
    async with hosting(tmp_path, server={"max_streams": 2000}) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        calls = [stub.InvokeTool(ticks(2, 3600)) for _ in range(2000)]
        first = await asyncio.gather(*(call.read() for call in calls))
        assert {each.progress.message for each in first} == {"0"}
        assert hosted.trial.tools.running == 2000
        for call in calls:
            call.cancel()
        await until(lambda: not hosted.trial.tools.running)
        assert await health(channel) == SERVING


@pytest.mark.parametrize("size", [2 << 20, 8 << 20])
async def test_a_message_over_the_limit_is_refused_and_the_server_runs_on(tmp_path, size):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        request = tool_service_pb2.ListToolsRequest(plugin="x" * size)
        if size > 4 << 20:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListTools(request)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        else:
            assert (await stub.ListTools(request)).tools[2].spec.name == request.plugin
        assert await health(channel) == SERVING


async def test_headers_over_the_limit_are_refused_and_the_server_runs_on(tmp_path, engine):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListTools(tool_service_pb2.ListToolsRequest(), metadata=(("x-big", "y" * 20_000),))
        # The native engine answers with HTTP's own status, 431, as HTTP/2 servers do.
        refused = {"grpcio": grpc.StatusCode.RESOURCE_EXHAUSTED, "native": grpc.StatusCode.UNKNOWN}
        assert caught.value.code() == refused[engine]
        assert await health(channel) == SERVING
