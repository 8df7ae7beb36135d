"""A call is refused from its headers: its message is not decoded, and not received as far as gRPC allows."""

from __future__ import annotations

from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.caller import Caller
from clawdbot_servicekit.error_table import ErrorTable, remote_error
from clawdbot_servicekit.errors import PermissionDenied, Unauthenticated
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer
from clawdbot_servicekit.pipeline import Deadlines, HandlerRegistrar, Pipeline

from tests.contract.channel.servicer import HANDLER_FACTORIES
from tests.support.conditions import until
from tests.support.engines import GRPCIO_ONLY, NEEDS_NATIVE, make_engine_server
from tests.support.hosts import hosting

KEYS = {"keys": [{"id": "bob", "key": "models-only-0123456789abcdef", "scopes": ["models"]}]}
INVOKE = "/clawdbot.plugins.v1.ToolService/InvokeTool"
LIST = "/clawdbot.plugins.v1.ToolService/ListTools"
HUGE = b"\x0a\x00" * 1_900_000
"""3.8 MB of empty fields, which would take long to decode."""
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


async def refusal(channel, kind, method, message, metadata=()):
    """The error of a call whose message is these bytes."""
    request = iter((message,)) if kind.startswith("stream") else message
    call = getattr(channel, kind)(method)(request, metadata=metadata, timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call if kind.endswith("unary") else call.read())
    return remote_error(caught.value)


@pytest.mark.parametrize("message", [HUGE, b"\xff\xff", b""], ids=["huge", "malformed", "empty"])
@pytest.mark.parametrize(("kind", "method"), [("unary_unary", LIST), ("unary_stream", INVOKE)])
async def test_the_key_and_its_scope_count_before_the_message(tmp_path, kind, method, message):
    async with hosting(tmp_path, auth=KEYS) as hosted, hosted.insecure() as channel:
        for key, code in (
            (None, "UNAUTHENTICATED"),
            ("unknown-0123456789abcdefgh", "UNAUTHENTICATED"),
            ("models-only-0123456789abcdef", "PERMISSION_DENIED"),
        ):
            metadata = (("x-api-key", key),) if key else ()
            assert (await refusal(channel, kind, method, message, metadata)).reason == code


@asynccontextmanager
async def serving(identify=lambda *_: Caller(), limit=10, deadline=60.0):
    """Channels to methods of all kinds, what was decoded, the admission and the records of calls."""
    decoded, records, admission = [], [], Admission(limit)

    def decode(data):
        decoded.append(data)
        return data

    async def answer(request, context):
        return b"answered"

    async def stream(request, context):
        yield b"answered"

    handlers = {
        kind: HANDLER_FACTORIES[kind](
            stream if kind.endswith("stream") else answer, request_deserializer=decode
        )
        for kind in KINDS
    }
    target, inprocess = make_engine_server(), InProcessServer()
    server = target.server
    pipeline = Pipeline(admission, identify, Deadlines(deadline, deadline), records.append)
    registrar = HandlerRegistrar(pipeline, (target, inprocess), ErrorTable({}))
    registrar.add_registered_method_handlers("test.All", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as tcp,
            InProcessChannel(inprocess) as inner,
        ):
            yield tcp, inner, decoded, admission, records
    finally:
        await server.stop(None)
        await inprocess.stop()


@pytest.mark.parametrize("error", [Unauthenticated("no"), PermissionDenied("tools")])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_refused_is_not_decoded(kind, error):
    def refuse(*_):
        raise error

    async with serving(refuse) as (channel, _, decoded, _, _):
        assert (await refusal(channel, kind, f"/test.All/{kind}", HUGE)).code != "INTERNAL"
        assert decoded == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_over_the_limit_or_to_a_draining_server_is_not_decoded(kind):
    async with serving(limit=0) as (channel, _, decoded, admission, _):
        assert (await refusal(channel, kind, f"/test.All/{kind}", HUGE)).reason == "OVERLOADED"
        admission.close()
        assert (await refusal(channel, kind, f"/test.All/{kind}", HUGE)).reason == "SHUTTING_DOWN"
        assert decoded == []


@pytest.mark.parametrize("inner", [False, True])
async def test_an_admitted_message_is_decoded_once(inner):
    async with serving() as (tcp, inprocess, decoded, _, _):
        channel = inprocess if inner else tcp
        assert await channel.unary_unary("/test.All/unary_unary")(b"x") == b"answered"
        assert await channel.unary_stream("/test.All/unary_stream")(b"x").read() == b"answered"
        assert decoded == [b"x", b"x"]


async def test_an_unknown_method_is_unimplemented_whatever_its_message():
    async with serving() as (channel, inprocess, decoded, _, _):
        for each in (channel, inprocess):
            assert (await refusal(each, "unary_unary", "/test.All/None", HUGE)).code == "UNIMPLEMENTED"
        assert decoded == []


@GRPCIO_ONLY
async def test_a_caller_that_never_sends_its_message_gets_the_deadline_and_its_slot_is_freed():
    async with serving(deadline=0.2) as (channel, _, _, admission, records):
        call = channel.stream_unary("/test.All/unary_unary")(timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert remote_error(caught.value).reason == "DEADLINE_EXCEEDED"
        await recorded(records)
        assert admission.count == 0


@GRPCIO_ONLY
async def test_a_call_without_a_message_is_malformed():
    async with serving() as (channel, *_):
        call = channel.stream_unary("/test.All/unary_unary")(iter(()), timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert remote_error(caught.value).reason == "MALFORMED_MESSAGE"


@GRPCIO_ONLY
async def test_a_caller_that_leaves_before_its_message_is_recorded_as_cancelled():
    async with serving() as (channel, _, _, admission, records):
        call = channel.stream_unary("/test.All/unary_unary")(timeout=20)
        await until(lambda: admission.count)
        call.cancel()
        assert (await recorded(records)).code == "CANCELLED"


@NEEDS_NATIVE
@pytest.mark.parametrize("engine", ["native"], indirect=True)
async def test_the_native_engine_tells_of_a_call_when_its_message_is_there():
    async with serving() as (channel, _, _, admission, records):
        call = channel.stream_unary("/test.All/unary_unary")(timeout=0.3)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert await channel.unary_unary("/test.All/unary_unary")(b"x") == b"answered"
        await recorded(records)
        assert (admission.count, len(records)) == (0, 1)


async def recorded(records):
    """The first record."""
    return (await until(lambda: records))[0]
