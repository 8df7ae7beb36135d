"""A service as a process: signals, exit codes, and no traceback for errors that an operator can fix."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2_grpc

from tests.support.engines import GRPCIO_ONLY, NEEDS_NATIVE, serving_handlers
from tests.support.http2_frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    Http2Client,
    call_headers,
    frame,
)
from tests.support.trial_process import trial_process
from tests.support.trial_service import ticks

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_the_process_exits_0(tmp_path, number):
    ends = tmp_path / "ended"
    async with trial_process(tmp_path, CLAWDBOT_TRIAL__ENDS_FILE=str(ends)) as process:
        await process.serving()
        async with process.channel() as channel:
            stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(20, 0.02)))
            await anext(stream)
            process.signal(number)
            assert len([event async for event in stream]) == 20
        assert await process.ended() == 0
        assert ends.read_text() == "ended"


async def test_a_second_signal_ends_the_remaining_calls_with_unavailable(tmp_path):
    async with trial_process(tmp_path, CLAWDBOT_SERVER__GRACE="1h") as process:
        await process.serving()
        async with process.channel() as channel:
            stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(100_000, 0.05)))
            await anext(stream)
            process.signal(signal.SIGTERM)
            await process.logged("draining")
            process.signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [event async for event in stream]
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert await process.ended() == 0


async def test_a_signal_while_waiting_for_a_dependency_stops_the_process_cleanly(tmp_path):
    ends = tmp_path / "ended"
    never = {"CLAWDBOT_TRIAL__READY_FILE": str(tmp_path / "never"), "CLAWDBOT_TRIAL__ENDS_FILE": str(ends)}
    async with trial_process(tmp_path, **never) as process:
        await process.logged("not_ready")
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert ends.exists()


@GRPCIO_ONLY
async def test_an_error_that_an_operator_can_fix_is_one_sentence_and_exit_code_2(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for environment, sentence in [
            ({"CLAWDBOT_SERVER__PORT": str(port)}, f"Port {port} on 127.0.0.1 is taken."),
            ({"CLAWDBOT_SERVRE__PORT": "1"}, "did you mean CLAWDBOT_SERVER__PORT?"),
            ({"CLAWDBOT_STATE_DIR": "/dev/null/state"}, "Cannot create the state directory /dev/null/state"),
            ({"CLAWDBOT_TRIAL__REFUSE": "The store is broken."}, "The store is broken."),
            ({"CLAWDBOT_CONFIG": "/no/such.yaml"}, "/no/such.yaml: cannot read the configuration"),
        ]:
            async with trial_process(tmp_path, **environment) as process:
                assert await process.ended() == 2
                assert sentence in process.log()
                assert "Traceback" not in process.log()
                # On a busy machine the watchdog may have written a line as well.
                told = [line for line in process.log().splitlines() if "event_loop_" not in line]
                assert len(told) == 1


@GRPCIO_ONLY
async def test_the_config_argument_names_the_file(tmp_path):
    config = tmp_path / "named.yaml"
    config.write_text("trial: {refuse: 'Read from the named file.'}")
    async with trial_process(tmp_path, "--config", str(config)) as process:
        assert await process.ended() == 2
        assert process.log() == "Read from the named file.\n"


LIST_TOOLS = b"/clawdbot.plugins.v1.ToolService/ListTools"
UNREADABLE = (
    PREFACE[:12],
    PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 40),
    *(
        PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK) + frame(HEADERS, END_HEADERS | END_STREAM, 1, call)
        for call in (
            call_headers(LIST_TOOLS, grpc_timeout=b"soon"),
            call_headers(LIST_TOOLS, te=b"gzip"),
            call_headers(LIST_TOOLS, x_a_bin=b"!"),
            call_headers(LIST_TOOLS, grpc_encoding=b"br"),
            call_headers(b"/\xff"),
        )
    ),
)


async def test_the_log_is_json_whatever_clients_send_if_grpcs_core_is_silent(tmp_path):
    def send(port, data):
        with Http2Client(port, data) as client:
            client.done_sending()
            client.outcome()

    async with trial_process(tmp_path, GRPC_VERBOSITY="NONE") as process:
        await process.serving()
        for data in UNREADABLE:
            await asyncio.to_thread(send, process.port, data)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert all(json.loads(line)["event"] for line in process.log().splitlines())


@NEEDS_NATIVE
@pytest.mark.parametrize("engine", ["native"], indirect=True)
async def test_a_native_engine_without_room_for_its_socket_is_an_error_of_one_sentence(tmp_path):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    async with trial_process(tmp_path, TMPDIR=str(folder), GRPC_VERBOSITY="NONE") as process:
        assert await process.ended() == 2
        assert process.log().startswith("The native engine cannot make a socket")
        assert len(process.log().splitlines()) == 1


@NEEDS_NATIVE
@pytest.mark.parametrize("engine", ["native"], indirect=True)
async def test_a_native_engine_removes_what_killed_processes_left_among_the_temporary_files(
    engine, monkeypatch
):
    """A process that ends by itself removes its folder; the socket of one that was killed has no listener."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        with contextlib.ExitStack() as sockets:
            for name, listens, age in (("killed", False, 3600), ("serves", True, 3600), ("starts", False, 0)):
                path = Path(folder, f"pygrpc-native-{name}", "fallback.sock")
                path.parent.mkdir()
                each = sockets.enter_context(socket.socket(socket.AF_UNIX))
                each.bind(str(path))
                if listens:
                    each.listen()
                os.utime(path, (time.time() - age,) * 2)
            async with serving_handlers(engine, {}):
                pass
        assert {each.name for each in Path(folder).iterdir()} == {
            "pygrpc-native-serves",
            "pygrpc-native-starts",
        }
