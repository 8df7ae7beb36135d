"""Calls with one request and one response: messages, metadata, statuses, size limits."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import grpc
import grpc.aio
import pytest
import structlog
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc

from tests.contract.channel.servicer import text
from tests.support.trial_service import Tools, ticks

outside: ContextVar[str] = ContextVar("outside", default="nothing")


async def error_of(call):
    """The error of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


class Unary:
    async def test_a_response_comes_back(self, stub):
        assert (await stub.Echo(text("hello"))).value == "hello"

    async def test_a_call_can_be_awaited_again(self, stub):
        call = stub.Echo(text("hello"))
        assert await call == await call == text("hello")

    async def test_the_state_of_a_finished_call(self, stub):
        call = stub.Echo(text("hello"))
        assert (await call.code(), await call.details()) == (grpc.StatusCode.OK, "")
        await call
        assert (call.done(), call.cancelled(), call.cancel()) == (True, False, False)
        assert tuple(await call.initial_metadata()) == tuple(await call.trailing_metadata()) == ()
        assert call.time_remaining() is None
        assert not await call.debug_error_string()
        await call.wait_for_connection()

    async def test_a_done_callback_is_called_once_with_the_call(self, stub):
        call, calls = stub.Echo(text("hello")), []
        call.add_done_callback(calls.append)
        await call
        assert calls == [call]
        call.add_done_callback(calls.append)
        assert calls == [call, call]

    async def test_many_calls_at_once_get_their_own_responses(self, stub):
        responses = await asyncio.gather(*(stub.Echo(text(str(each))) for each in range(500)))
        assert [response.value for response in responses] == [str(each) for each in range(500)]

    async def test_neither_side_sees_the_other_change_a_message(self, stub, servicer):
        request = text("mine")
        response = await stub.Change(request)
        assert (request.value, response.value) == ("mine", "mine seen")
        response.value = request.value = "changed by the caller"
        assert servicer.received[0].value == "changed by the servicer"

    async def test_a_message_changed_right_after_the_call_started_may_be_either_but_is_whole(self, stub):
        """Over a socket, serialisation happens later; this must not break anything."""
        request = text("before")
        call = stub.Echo(request)
        request.value = "after"
        assert (await call).value in {"before", "after"}

    async def test_the_servicer_does_not_see_the_callers_context(self, connect):
        seen = []

        async def look(request, context):
            seen.append((outside.get(), structlog.contextvars.get_contextvars()))
            outside.set("the servicer's")
            return request

        services = {"test.Look": {"Look": grpc.unary_unary_rpc_method_handler(look)}}
        async with connect(services, -1) as channel:
            outside.set("the caller's")
            with structlog.contextvars.bound_contextvars(turn="7"):
                await channel.unary_unary("/test.Look/Look")(b"")
            await channel.unary_unary("/test.Look/Look")(b"")
        assert seen == [("nothing", {}), ("nothing", {})]
        assert outside.get() == "the caller's"

    async def test_generated_code_is_served_unchanged(self, connect):
        """Registered by the generated function and called through the generated stub."""
        registered = {}

        class Registrar:
            def add_generic_rpc_handlers(self, handlers):
                pass

            def add_registered_method_handlers(self, service, handlers):
                registered[service] = handlers

        tool_service_pb2_grpc.add_ToolServiceServicer_to_server(Tools(), Registrar())
        async with connect(registered, -1) as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            assert len((await stub.ListTools(tool_service_pb2.ListToolsRequest())).tools) == 3
            events = [each.WhichOneof("event") async for each in stub.InvokeTool(ticks(2))]
            assert events == ["progress", "progress", "result"]


class Metadata:
    async def test_the_servicer_sees_the_callers(self, stub, servicer):
        sent = (("x-one", "1"), ("x-one", "2"), ("x-bytes-bin", b"\x00\xff"))
        await stub.Echo(text(""), metadata=sent)
        assert [pair for pair in map(tuple, servicer.metadata) if pair[0].startswith("x-")] == list(sent)
        await stub.Echo(text(""), metadata=grpc.aio.Metadata(*sent))
        assert [pair for pair in map(tuple, servicer.metadata) if pair[0].startswith("x-")] == list(sent)
        assert all((each.key, each.value) == tuple(each) for each in servicer.metadata)

    async def test_the_caller_sees_the_servicers_before_and_after(self, stub):
        call = stub.Headers(text(""))
        first = await call.initial_metadata()
        assert (first["x-first"], first["x-first-bin"]) == ("1", b"\x00\xff")
        last = await call.trailing_metadata()
        assert (last["x-last"], last["x-last-bin"]) == ("2", b"\xff\x00")

    async def test_an_error_has_both(self, stub):
        error = await error_of(stub.SetCode(text("gone")))
        assert tuple(error.initial_metadata()) == ()
        assert error.trailing_metadata()["x-last"] == "2"

    @pytest.mark.parametrize(
        "bad", [("x-Upper", "1"), ("x space", "1"), ("x-line", "a\nb"), ("x-accent", "é"), ("", "1")]
    )
    async def test_a_header_that_http2_does_not_allow_is_refused(self, stub, bad):
        with pytest.raises(grpc.aio.InternalError):
            await stub.Echo(text(""), metadata=(bad,))

    @pytest.mark.parametrize("bad", [("x-bin", "text"), ("x-number", 1)])
    async def test_a_value_of_the_wrong_type_is_refused(self, stub, bad):
        with pytest.raises(TypeError):
            await stub.Echo(text(""), metadata=(bad,))


class Statuses:
    async def test_an_abort_arrives_with_code_message_and_details(self, stub):
        error = await error_of(stub.Abort(text("not now: é")))
        assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now: é")
        assert error.trailing_metadata()["grpc-status-details-bin"] == b"\x08\x09"

    async def test_a_failed_call_has_the_same_status_as_its_error(self, stub):
        call = stub.Abort(text("not now"))
        await error_of(call)
        assert (await call.code(), await call.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now")
        assert call.done()
        assert not call.cancelled()
        assert (await error_of(call)).details() == "not now"

    async def test_a_code_that_was_set_replaces_the_response(self, stub):
        error = await error_of(stub.SetCode(text("gone")))
        assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "gone")

    async def test_an_exception_is_unknown(self, stub):
        error = await error_of(stub.Raise(text("why")))
        assert error.code() == grpc.StatusCode.UNKNOWN
        assert error.details() == "Unexpected <class 'ValueError'>: why"

    async def test_an_abort_holds_even_if_the_servicer_catches_it(self, stub):
        error = await error_of(stub.Swallow(text("still")))
        assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "still")

    async def test_an_unknown_method_is_unimplemented(self, stub):
        error = await error_of(stub.NoSuch(text("")))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        error = await error_of(stub.NoSuchStream(text("")).read())
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED


class Limits:
    async def test_messages_up_to_the_limit_pass_in_both_directions(self, stub):
        assert len((await stub.Echo(text("x" * 99_000))).value) == 99_000

    async def test_a_request_over_the_limit_is_refused_and_the_next_one_served(self, stub, servicer):
        error = await error_of(stub.Echo(text("x" * 100_001)))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details().startswith("SERVER: Received message larger than max (1000")
        assert await stub.Echo(text("y")) == text("y")

    async def test_a_response_over_the_limit_is_refused_and_the_next_one_served(self, stub):
        error = await error_of(stub.Large(text("100001")))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "CLIENT: Received message larger than max (1000" in error.details()
        assert len((await stub.Large(text("99000"))).value) == 99_000
