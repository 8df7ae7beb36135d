"""What the pipeline makes of each kind of call and of each way in which it can end, over a real port."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

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

from tests.contract.channel.far import MADE, text

KINDS = {
    "One": "unary_unary",
    "Many": "unary_stream",
    "Writes": "unary_stream",
    "Gather": "stream_unary",
    "Talk": "stream_stream",
}


class Missing(Exception):
    """A domain's failure."""

    def __init__(self, name):
        self.name = name
        super().__init__(name)


ERRORS = ErrorTable({Missing: ErrorRule(grpc.StatusCode.NOT_FOUND, "THING_NOT_FOUND", "No thing {name}.")})


class Things:
    """Each method does what the request says; the generator remembers that it was closed."""

    def __init__(self):
        self.begun = asyncio.Event()
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
        """As generated code has it where a servicer has no method."""
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        raise NotImplementedError("Method not implemented!")

    async def _do(self, what, context):
        if what:
            await getattr(self, f"_{what}")(context)

    async def _fail(self, context):
        context.set_trailing_metadata((("x-mine", "kept"),))
        raise Missing("hat")

    async def _burst(self, context):
        raise RuntimeError("canary-text")

    async def _group(self, context):
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail(context))

    async def _abort(self, context):
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "mine")

    async def _code(self, context):
        context.set_code(grpc.StatusCode.OUT_OF_RANGE)

    async def _wait(self, context):
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def _stray(self, context):
        raise asyncio.CancelledError

    async def _note(self, context):
        annotate(session="s-1")
        await asyncio.create_task(self._note_more())

    async def _note_more(self):
        annotate(model="echo")


class Served:
    """A server with the pipeline, what it has recorded, and the methods as a caller sees them."""

    def __init__(self, channel, inside, records, admission, things):
        self.channel, self.inside = channel, inside
        self.records, self.admission, self.things = records, admission, things

    def call(self, name, kind=None, channel=None, serialize=StringValue.SerializeToString):
        return getattr(channel or self.channel, kind or KINDS[name])(
            f"/test.Things/{name}", serialize, StringValue.FromString
        )

    def begin(self, name, what, **options):
        request = iter((text(what),)) if KINDS[name].startswith("stream") else text(what)
        return self.call(name)(request, **options)

    async def said(self, name, what, **options):
        """The values of all replies."""
        call = self.begin(name, what, **options)
        if KINDS[name].endswith("unary"):
            return [(await call).value]
        return [each.value async for each in call]

    async def refused(self, name, what="", **options):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.said(name, what, **options)
        return caught.value

    async def recorded(self):
        """The one call that was recorded, when it is; nothing is inside any more then."""
        async with asyncio.timeout(5):
            while not self.records:  # noqa: ASYNC110 - the record comes after the caller's end of the call
                await asyncio.sleep(0.005)
        (record,) = self.records
        assert self.admission.count == 0
        return record


@asynccontextmanager
async def serving(
    *, limit=100, deadlines=(60.0, 600.0), exempt=False, identify=lambda *_: Caller(tenant="acme")
):
    records, things, admission = [], Things(), Admission(limit)
    server, inside = grpc.aio.server(), InProcessServer()
    wrapping = HandlerRegistrar(
        Pipeline(admission, identify, Deadlines(*deadlines), records.append),
        (server, inside),
        ERRORS,
        exempt=exempt,
    )
    coded = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers = {name: MADE[kind](getattr(things, name), **coded) for name, kind in KINDS.items()}
    handlers["Placeholder"] = MADE["unary_unary"](things.Placeholder, **coded)
    wrapping.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Things", handlers),))
    wrapping.add_registered_method_handlers("test.Things", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            InProcessChannel(inside) as near,
        ):
            yield Served(channel, near, records, admission, things)
    finally:
        await server.stop(None)
        await inside.stop()


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
        assert await served.said(name, "") == GOOD[name]
        record = await served.recorded()
        assert (record.method, record.code, record.reason) == (f"/test.Things/{name}", "OK", "")
        assert (record.tenant, record.in_process, record.fields) == ("acme", False, {})
        assert record.seconds > 0


@pytest.mark.parametrize("what", ["fail", "group"])
@pytest.mark.parametrize("name", KINDS)
async def test_a_failure_of_the_domain_becomes_the_status_that_its_table_says(name, what):
    async with serving() as served:
        error = await served.refused(name, what)
        fault = remote_error(error)
        assert (fault.code, fault.reason, fault.message) == ("NOT_FOUND", "THING_NOT_FOUND", "No thing hat.")
        assert error.trailing_metadata()["x-mine"] == "kept"
        record = await served.recorded()
        assert (record.code, record.reason) == ("NOT_FOUND", "THING_NOT_FOUND")


@pytest.mark.parametrize("name", KINDS)
async def test_what_nobody_expected_is_internal_with_an_id_and_the_log_has_the_rest(name):
    async with serving() as served:
        with capture_logs() as log:
            fault = remote_error(await served.refused(name, "burst"))
        assert (fault.code, fault.reason) == ("INTERNAL", "INTERNAL")
        assert "canary" not in fault.message
        (line,) = [each for each in log if each["event"] == "unexpected_error"]
        assert line["log_id"] == fault.metadata["log_id"]
        assert line["log_id"] in fault.message
        assert str(line["exc_info"]) == "canary-text"
        assert (await served.recorded()).code == "INTERNAL"


@pytest.mark.parametrize("name", KINDS)
async def test_a_request_that_cannot_be_decoded_is_malformed(name):
    async with serving() as served:
        streams = KINDS[name].startswith("stream")
        call = served.call(name, serialize=None)(iter((b"\xff\xff",)) if streams else b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if KINDS[name].endswith("unary") else call.read())
        fault = remote_error(caught.value)
        assert (fault.code, fault.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
        assert f"test.Things/{name}" in fault.message
        assert (await served.recorded()).reason == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("given", "deadlines"), [(None, (0.05, 600.0)), (500.0, (60.0, 0.05))])
async def test_default_and_ceiling_end_a_call_with_a_reason_and_the_servicer_with_it(name, given, deadlines):
    async with serving(deadlines=deadlines) as served:
        fault = remote_error(await served.refused(name, "wait", timeout=given))
        assert (fault.code, fault.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert served.things.closed.is_set()
        assert (await served.recorded()).code == "DEADLINE_EXCEEDED"


async def test_a_callers_own_deadline_is_what_remains_inside_and_ends_the_servicer():
    async with serving() as served:
        assert await served.said("One", "", timeout=30) == ["acme 30"]
        served.records.clear()
        error = await served.refused("Many", "wait", timeout=0.1)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await served.recorded()).code == "DEADLINE_EXCEEDED"
        assert served.things.closed.is_set()


@pytest.mark.parametrize("name", KINDS)
async def test_a_caller_that_leaves_ends_the_servicer_and_frees_its_place_once(name):
    async with serving() as served:
        call = served.begin(name, "wait")
        await served.things.begun.wait()
        assert served.admission.count == 1
        call.cancel()
        assert (await served.recorded()).code == "CANCELLED"
        assert served.things.closed.is_set()


async def test_a_caller_that_does_not_read_on_closes_the_generator():
    """It is suspended in a write at that time, and not in the servicer's own code."""
    async with serving() as served:
        call = served.call("Many")(text(""))
        assert (await call.read()).value == "first"
        call.cancel()
        async with asyncio.timeout(5):
            await served.things.closed.wait()


async def test_a_cancellation_that_nobody_ordered_is_not_a_silent_end():
    """As when a peer's channel closes under the servicer: without a status its caller would wait for ever."""
    async with serving() as served:
        fault = remote_error(await served.refused("One", "stray"))
        assert (fault.code, fault.reason) == ("UNAVAILABLE", "PEER_UNAVAILABLE")
        assert (await served.recorded()).code == "UNAVAILABLE"


@pytest.mark.parametrize(("what", "code"), [("abort", "ALREADY_EXISTS"), ("code", "OUT_OF_RANGE")])
async def test_a_status_that_the_servicer_gives_itself_stands_and_is_recorded(what, code):
    async with serving() as served:
        assert (await served.refused("One", what)).code().name == code
        record = await served.recorded()
        assert (record.code, record.reason) == (code, "")


async def test_a_method_that_the_servicer_lacks_is_not_implemented_yet():
    async with serving() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.call("Placeholder", "unary_unary")(text(""))
        assert remote_error(caught.value).reason == "NOT_IMPLEMENTED_YET"
        assert (await served.recorded()).code == "UNIMPLEMENTED"


async def test_facts_are_annotated_from_wherever_the_call_works():
    async with serving() as served:
        await served.said("One", "note")
        assert (await served.recorded()).fields == {"session": "s-1", "model": "echo"}


async def test_who_is_refused_never_reaches_the_servicer_and_holds_no_place():
    def refuse(*_):
        raise Missing("key")

    async with serving(identify=refuse) as served:
        assert (await served.refused("Many")).code() == grpc.StatusCode.NOT_FOUND
        record = await served.recorded()
        assert (record.tenant, record.key_id) == ("", "")
        assert not served.things.closed.is_set()


async def test_a_full_server_refuses_with_a_time_and_a_closed_one_as_shutting_down():
    async with serving(limit=1) as served:
        call = served.begin("One", "wait")
        await served.things.begun.wait()
        full = remote_error(await served.refused("One"))
        assert (full.code, full.reason, full.retry_after) == ("RESOURCE_EXHAUSTED", "OVERLOADED", 1.0)
        served.admission.close()
        closed = remote_error(await served.refused("One"))
        assert (closed.code, closed.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
        assert served.admission.count == 1
        call.cancel()
        async with asyncio.timeout(5):
            await served.admission.idle()


async def test_a_call_from_inside_is_its_callers_and_takes_no_place():
    """A server that is full or drains must not lose the calls that it has let in."""
    async with serving(limit=1) as served:
        served.admission.close()
        enter_caller(Caller(tenant="umbrella", key_id="k"))
        assert (await served.call("One", channel=served.inside)(text(""))).value == "umbrella 60"
        record = await served.recorded()
        assert (record.tenant, record.key_id, record.in_process) == ("umbrella", "k", True)


async def test_exempt_methods_bear_described_errors_and_nothing_else():
    async with serving(exempt=True, limit=1) as served:
        served.admission.close()
        assert remote_error(await served.refused("Many", "fail")).reason == "THING_NOT_FOUND"
        assert remote_error(await served.refused("One", "group")).reason == "THING_NOT_FOUND"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.call("One", serialize=None)(b"\xff\xff")
        assert remote_error(caught.value).reason == "MALFORMED_MESSAGE"
        assert (await served.refused("One", "abort")).code() == grpc.StatusCode.ALREADY_EXISTS
        assert served.records == []


async def test_an_application_can_register_and_nothing_more():
    wrapping = HandlerRegistrar(None, (), ERRORS)
    for refused in (lambda: wrapping.add_insecure_port(":0"), lambda: wrapping.add_secure_port(":0", None)):
        with pytest.raises(grpc.aio.UsageError):
            refused()
    for refused in (wrapping.start(), wrapping.stop(None), wrapping.wait_for_termination()):
        with pytest.raises(grpc.aio.UsageError):
            await refused
