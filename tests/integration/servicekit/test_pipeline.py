"""How the pipeline handles each kind of call and each way in which it can end, over a real port."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from functools import partial

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.caller import Caller, current_caller, enter_caller
from clawdbot_servicekit.error_table import ErrorRule, ErrorTable, remote_error
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer
from clawdbot_servicekit.pipeline import Deadlines, HandlerRegistrar, Pipeline, annotate
from google.protobuf.wrappers_pb2 import StringValue
from structlog.testing import capture_logs

from tests.contract.channel.servicer import HANDLER_FACTORIES, text
from tests.support.conditions import until
from tests.support.deadlines import expired
from tests.support.engines import make_engine_server

KINDS = {
    "One": "unary_unary",
    "Many": "unary_stream",
    "Writes": "unary_stream",
    "Gather": "stream_unary",
    "Talk": "stream_stream",
}


class Missing(Exception):
    """A domain error."""

    def __init__(self, name):
        self.name = name
        super().__init__(name)


ERRORS = ErrorTable({Missing: ErrorRule(grpc.StatusCode.NOT_FOUND, "THING_NOT_FOUND", "No thing {name}.")})


class Things:
    """Each method does what the request says; the generator records that it was closed."""

    def __init__(self):
        self.started = asyncio.Event()
        self.closed = asyncio.Event()

    async def One(self, request, context):
        await self._do(request.value, context)
        return text(f"{current_caller().tenant} {deadline.remaining():.0f}")

    async def Many(self, request, context):
        try:
            yield text("first")
            await self._do(request.value, context)
            yield text("last")
        finally:
            self.closed.set()

    async def Writes(self, request, context):
        await context.write(text("first"))
        await self._do(request.value, context)
        await context.write(text("last"))

    async def Gather(self, requests, context):
        async for each in requests:
            await self._do(each.value, context)
        return text("gathered")

    async def Talk(self, requests, context):
        async for each in requests:
            await self._do(each.value, context)
            yield each

    def Placeholder(self, request, context):
        """Generated code's default for a method that a servicer does not implement."""
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        raise NotImplementedError("Method not implemented!")

    async def _do(self, what, context):
        if what:
            await getattr(self, f"_{what}")(context)

    async def _fail(self, context):
        context.set_trailing_metadata((("x-mine", "kept"),))
        raise Missing("hat")

    async def _crash(self, context):
        raise RuntimeError("canary-text")

    async def _group(self, context):
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail(context))

    async def _abort(self, context):
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "mine")

    async def _code(self, context):
        context.set_code(grpc.StatusCode.OUT_OF_RANGE)

    async def _wait(self, context):
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def _cancel(self, context):
        raise asyncio.CancelledError

    async def _note(self, context):
        annotate(session="s-1")
        await asyncio.create_task(self._note_more())

    async def _note_more(self):
        annotate(model="echo")


class Served:
    """A server with the pipeline, its call records, and the methods as a caller sees them."""

    def __init__(self, channel, in_process, records, admission, things):
        self.channel, self.in_process = channel, in_process
        self.records, self.admission, self.things = records, admission, things

    def call(self, name, kind=None, channel=None, serialize=StringValue.SerializeToString):
        return getattr(channel or self.channel, kind or KINDS[name])(
            f"/test.Things/{name}", serialize, StringValue.FromString
        )

    def begin(self, name, what, **options):
        request = iter((text(what),)) if KINDS[name].startswith("stream") else text(what)
        return self.call(name)(request, **options)

    async def responses_of(self, name, what, **options):
        """The values of all responses."""
        call = self.begin(name, what, **options)
        if KINDS[name].endswith("unary"):
            return [(await call).value]
        return [each.value async for each in call]

    async def error_of(self, name, what="", **options):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.responses_of(name, what, **options)
        return caught.value

    async def recorded(self):
        """The record of the one call, once there is one; no call is in flight then."""
        # A call is recorded after its caller has the status.
        (record,) = await until(lambda: self.records)
        assert self.admission.count == 0
        return record


@asynccontextmanager
async def serving(
    *,
    limit=100,
    deadlines=(60.0, 600.0),
    exempt=False,
    identify=lambda *_: Caller(tenant="acme"),
    max_response=sys.maxsize,
):
    records, things, admission = [], Things(), Admission(limit)
    target, in_process_server = make_engine_server(), InProcessServer()
    server = target.server
    registrar = HandlerRegistrar(
        Pipeline(admission, identify, Deadlines(*deadlines), records.append, max_response),
        (target, in_process_server),
        ERRORS,
        exempt=exempt,
    )
    serializers = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers = {
        name: HANDLER_FACTORIES[kind](getattr(things, name), **serializers) for name, kind in KINDS.items()
    }
    handlers["Placeholder"] = HANDLER_FACTORIES["unary_unary"](things.Placeholder, **serializers)
    registrar.add_registered_method_handlers("test.Things", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            InProcessChannel(in_process_server) as in_process,
        ):
            yield Served(channel, in_process, records, admission, things)
    finally:
        await server.stop(None)
        await in_process_server.stop()


GOOD = {
    "One": ["acme 60"],
    "Many": ["first", "last"],
    "Writes": ["first", "last"],
    "Gather": ["gathered"],
    "Talk": [""],
}


@pytest.mark.parametrize("name", KINDS)
async def test_a_call_of_any_kind_and_style_is_answered_and_recorded_once(name):
    async with serving() as served:
        assert await served.responses_of(name, "") == GOOD[name]
        record = await served.recorded()
        assert (record.method, record.code, record.reason) == (f"/test.Things/{name}", "OK", "")
        assert (record.tenant, record.in_process, record.fields) == ("acme", False, {})
        assert record.seconds > 0


@pytest.mark.parametrize("what", ["fail", "group"])
@pytest.mark.parametrize("name", KINDS)
async def test_a_domain_error_becomes_the_status_of_its_rule(name, what):
    async with serving() as served:
        error = await served.error_of(name, what)
        remote = remote_error(error)
        assert (remote.code, remote.reason, remote.message) == (
            "NOT_FOUND",
            "THING_NOT_FOUND",
            "No thing hat.",
        )
        assert error.trailing_metadata()["x-mine"] == "kept"
        record = await served.recorded()
        assert (record.code, record.reason) == ("NOT_FOUND", "THING_NOT_FOUND")


@pytest.mark.parametrize("name", KINDS)
async def test_an_unexpected_error_is_internal_with_an_id_and_the_log_has_the_rest(name):
    async with serving() as served:
        with capture_logs() as log:
            remote = remote_error(await served.error_of(name, "crash"))
        assert (remote.code, remote.reason) == ("INTERNAL", "INTERNAL")
        assert "canary" not in remote.message
        (line,) = [each for each in log if each["event"] == "unexpected_error"]
        assert line["log_id"] == remote.metadata["log_id"]
        assert line["log_id"] in remote.message
        assert str(line["exc_info"]) == "canary-text"
        assert (await served.recorded()).code == "INTERNAL"


@pytest.mark.parametrize("name", KINDS)
async def test_a_request_that_cannot_be_decoded_is_malformed(name):
    async with serving() as served:
        streams = KINDS[name].startswith("stream")
        call = served.call(name, serialize=None)(iter((b"\xff\xff",)) if streams else b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if KINDS[name].endswith("unary") else call.read())
        remote = remote_error(caught.value)
        assert (remote.code, remote.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
        assert f"test.Things/{name}" in remote.message
        assert (await served.recorded()).reason == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("limit", ["default", "maximum"])
async def test_the_default_and_the_maximum_deadline_end_a_call_with_a_reason_and_its_servicer(name, limit):
    async def attempt(seconds):
        given, deadlines = (None, (seconds, 600.0)) if limit == "default" else (500.0, (60.0, seconds))
        async with serving(deadlines=deadlines) as served:
            remote = remote_error(await served.error_of(name, "wait", timeout=given))
            assert (remote.code, remote.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
            assert (await served.recorded()).code == "DEADLINE_EXCEEDED"
            started.append(served.things.started.is_set())
            return served.things.closed.is_set()

    started = []
    assert await expired(attempt, lambda: started[-1])


@pytest.mark.parametrize("name", KINDS)
async def test_a_response_that_is_too_large_ends_the_call_with_a_reason_and_its_servicer(name):
    async with serving(max_response=3) as served:
        remote = remote_error(await served.error_of(name, "note"))
        assert (remote.code, remote.reason) == ("RESOURCE_EXHAUSTED", "RESPONSE_TOO_LARGE")
        assert "at most 3 are allowed" in remote.message
        record = await served.recorded()
        assert (record.code, record.reason) == ("RESOURCE_EXHAUSTED", "RESPONSE_TOO_LARGE")
        assert served.things.closed.is_set() == (name == "Many")


async def test_a_callers_own_deadline_applies_to_the_servicer():
    async with serving() as served:
        assert await served.responses_of("One", "", timeout=30) == ["acme 30"]
        served.records.clear()
        attempt = partial(served.error_of, "Many", "wait")
        error = await expired(lambda seconds: attempt(timeout=seconds), served.things.started.is_set)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        # The caller's clock started first: its reset may be here before our own deadline.
        assert (await served.recorded()).code in {"DEADLINE_EXCEEDED", "CANCELLED"}
        assert served.things.closed.is_set()


@pytest.mark.parametrize("name", KINDS)
async def test_a_caller_that_disconnects_ends_the_servicer_and_is_released_once(name):
    async with serving() as served:
        call = served.begin(name, "wait")
        await served.things.started.wait()
        assert served.admission.count == 1
        call.cancel()
        assert (await served.recorded()).code == "CANCELLED"
        assert served.things.closed.is_set()


async def test_a_caller_that_stops_reading_closes_the_generator():
    """The servicer is suspended in a write then, not in its own code."""
    async with serving() as served:
        call = served.call("Many")(text(""))
        assert (await call.read()).value == "first"
        call.cancel()
        async with asyncio.timeout(20):
            await served.things.closed.wait()


async def test_a_cancellation_that_nobody_requested_ends_with_a_status():
    """As when a peer's channel closes under the servicer: without a status its caller would wait forever."""
    async with serving() as served:
        remote = remote_error(await served.error_of("One", "cancel"))
        assert (remote.code, remote.reason) == ("UNAVAILABLE", "PEER_UNAVAILABLE")
        assert (await served.recorded()).code == "UNAVAILABLE"


@pytest.mark.parametrize(("what", "code"), [("abort", "ALREADY_EXISTS"), ("code", "OUT_OF_RANGE")])
async def test_a_status_that_the_servicer_sets_itself_is_kept_and_recorded(what, code):
    async with serving() as served:
        assert (await served.error_of("One", what)).code().name == code
        record = await served.recorded()
        assert (record.code, record.reason) == (code, "")


async def test_a_method_without_an_implementation_is_not_implemented_yet():
    async with serving() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.call("Placeholder", "unary_unary")(text(""))
        assert remote_error(caught.value).reason == "NOT_IMPLEMENTED_YET"
        assert (await served.recorded()).code == "UNIMPLEMENTED"


async def test_annotations_also_work_in_tasks_of_the_call():
    async with serving() as served:
        await served.responses_of("One", "note")
        assert (await served.recorded()).fields == {"session": "s-1", "model": "echo"}


async def test_an_unidentified_caller_never_reaches_the_servicer_and_is_released():
    def refuse(*_):
        raise Missing("key")

    async with serving(identify=refuse) as served:
        assert (await served.error_of("Many")).code() == grpc.StatusCode.NOT_FOUND
        record = await served.recorded()
        assert (record.tenant, record.key_id) == ("", "")
        assert not served.things.closed.is_set()


async def test_a_full_server_refuses_with_retry_info_and_a_closed_one_as_shutting_down():
    async with serving(limit=1) as served:
        call = served.begin("One", "wait")
        await served.things.started.wait()
        full = remote_error(await served.error_of("One"))
        assert (full.code, full.reason, full.retry_after) == ("RESOURCE_EXHAUSTED", "OVERLOADED", 1.0)
        served.admission.close()
        closed = remote_error(await served.error_of("One"))
        assert (closed.code, closed.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
        assert served.admission.count == 1
        call.cancel()
        async with asyncio.timeout(20):
            await served.admission.idle()


async def test_an_in_process_call_has_its_callers_identity_and_is_not_limited():
    """A server that is full or drains must not lose the calls that it has admitted."""
    async with serving(limit=1) as served:
        served.admission.close()
        enter_caller(Caller(tenant="umbrella", key_id="k"))
        assert (await served.call("One", channel=served.in_process)(text(""))).value == "umbrella 60"
        record = await served.recorded()
        assert (record.tenant, record.key_id, record.in_process) == ("umbrella", "k", True)


async def test_exempt_methods_get_the_error_table_and_nothing_else():
    async with serving(exempt=True, limit=1) as served:
        served.admission.close()
        assert remote_error(await served.error_of("Many", "fail")).reason == "THING_NOT_FOUND"
        assert remote_error(await served.error_of("One", "group")).reason == "THING_NOT_FOUND"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.call("One", serialize=None)(b"\xff\xff")
        assert remote_error(caught.value).reason == "MALFORMED_MESSAGE"
        assert (await served.error_of("One", "abort")).code() == grpc.StatusCode.ALREADY_EXISTS
        assert served.records == []
