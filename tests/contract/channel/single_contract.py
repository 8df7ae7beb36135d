"""Calls with one request and one reply: messages, metadata, statuses, limits."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import grpc
import grpc.aio
import pytest
import structlog
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc

from tests.contract.channel.far import text
from tests.support.trial_service import Tools, ticks

outside: ContextVar[str] = ContextVar("outside", default="nothing")


async def failure(call):
    """How the call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


class Unary:
    async def test_a_reply_comes_back(self, stub):
        assert (await stub.Echo(text("hello"))).value == "hello"

    async def test_a_call_can_be_awaited_again(self, stub):
        call = stub.Echo(text("hello"))
        assert await call == await call == text("hello")

    async def test_what_a_finished_call_tells(self, stub):
        call = stub.Echo(text("hello"))
        assert (await call.code(), await call.details()) == (grpc.StatusCode.OK, "")
        await call
        assert (call.done(), call.cancelled(), call.cancel()) == (True, False, False)
        assert tuple(await call.initial_metadata()) == tuple(await call.trailing_metadata()) == ()
        assert call.time_remaining() is None
        assert not await call.debug_error_string()
        await call.wait_for_connection()

    async def test_a_done_callback_is_called_once_with_the_call(self, stub):
        call, told = stub.Echo(text("hello")), []
        call.add_done_callback(told.append)
        await call
        assert told == [call]
        call.add_done_callback(told.append)
        assert told == [call, call]

    async def test_many_calls_at_once_get_their_own_replies(self, stub):
        replies = await asyncio.gather(*(stub.Echo(text(str(each))) for each in range(500)))
        assert [reply.value for reply in replies] == [str(each) for each in range(500)]

    async def test_neither_side_sees_what_the_other_does_to_a_message(self, stub, far):
        request = text("mine")
        reply = await stub.Change(request)
        assert (request.value, reply.value) == ("mine", "mine seen")
        reply.value = request.value = "changed by the caller"
        assert far.received[0].value == "changed by the servicer"

    async def test_a_message_changed_right_after_the_call_began_may_be_either_but_is_whole(self, stub):
        """Over a socket serialising happens later; nobody may rely on it, and nothing breaks."""
        request = text("before")
        call = stub.Echo(request)
        request.value = "after"
        assert (await call).value in {"before", "after"}

    async def test_the_servicer_does_not_see_what_surrounds_the_caller(self, connect):
        seen = []

        async def look(request, context):
            seen.append((outside.get(), structlog.contextvars.get_contextvars()))
            outside.set("the servicer's")
            return request

        handler = grpc.method_handlers_generic_handler(
            "test.Look", {"Look": grpc.unary_unary_rpc_method_handler(look)}
        )
        async with connect((handler,), -1) as channel:
            outside.set("the caller's")
            with structlog.contextvars.bound_contextvars(turn="7"):
                await channel.unary_unary("/test.Look/Look")(b"")
            await channel.unary_unary("/test.Look/Look")(b"")
        assert seen == [("nothing", {}), ("nothing", {})]
        assert outside.get() == "the caller's"

    async def test_generated_code_is_served_as_it_is(self, connect):
        """Registered as a generic handler and called through the stub that protoc's plugin wrote."""
        held = []

        class Holding:
            def add_generic_rpc_handlers(self, handlers):
                held.extend(handlers)

            def add_registered_method_handlers(self, service, handlers):
                pass

        tool_service_pb2_grpc.add_ToolServiceServicer_to_server(Tools(), Holding())
        async with connect(held, -1) as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            assert len((await stub.ListTools(tool_service_pb2.ListToolsRequest())).tools) == 3
            events = [each.WhichOneof("event") async for each in stub.InvokeTool(ticks(2))]
            assert events == ["progress", "progress", "result"]


class Metadata:
    async def test_the_servicer_sees_the_callers(self, stub, far):
        given = (("x-one", "1"), ("x-one", "2"), ("x-bytes-bin", b"\x00\xff"))
        await stub.Echo(text(""), metadata=given)
        assert [pair for pair in map(tuple, far.metadata) if pair[0].startswith("x-")] == list(given)
        await stub.Echo(text(""), metadata=grpc.aio.Metadata(*given))
        assert [pair for pair in map(tuple, far.metadata) if pair[0].startswith("x-")] == list(given)
        assert all((each.key, each.value) == tuple(each) for each in far.metadata)

    async def test_the_caller_sees_the_servicers_before_and_after(self, stub):
        call = stub.Headers(text(""))
        first = await call.initial_metadata()
        assert (first["x-first"], first["x-first-bin"]) == ("1", b"\x00\xff")
        last = await call.trailing_metadata()
        assert (last["x-last"], last["x-last-bin"]) == ("2", b"\xff\x00")

    async def test_a_failure_bears_both(self, stub):
        error = await failure(stub.SetCode(text("gone")))
        assert tuple(error.initial_metadata()) == ()
        assert error.trailing_metadata()["x-last"] == "2"

    @pytest.mark.parametrize(
        "bad", [("x-Upper", "1"), ("x space", "1"), ("x-line", "a\nb"), ("x-accent", "é"), ("", "1")]
    )
    async def test_what_no_header_may_hold_is_refused(self, stub, bad):
        with pytest.raises(grpc.aio.InternalError):
            await stub.Echo(text(""), metadata=(bad,))

    @pytest.mark.parametrize("bad", [("x-bin", "text"), ("x-number", 1)])
    async def test_a_value_of_the_wrong_type_is_refused(self, stub, bad):
        with pytest.raises(TypeError):
            await stub.Echo(text(""), metadata=(bad,))


class Statuses:
    async def test_an_abort_arrives_with_code_sentence_and_details(self, stub):
        error = await failure(stub.Abort(text("not now: é")))
        assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now: é")
        assert error.trailing_metadata()["grpc-status-details-bin"] == b"\x08\x09"

    async def test_a_call_that_failed_tells_the_same_as_its_error(self, stub):
        call = stub.Abort(text("not now"))
        await failure(call)
        assert (await call.code(), await call.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now")
        assert call.done()
        assert not call.cancelled()
        assert (await failure(call)).details() == "not now"

    async def test_a_code_that_was_set_counts_and_the_reply_does_not(self, stub):
        error = await failure(stub.SetCode(text("gone")))
        assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "gone")

    async def test_an_exception_is_unknown(self, stub):
        error = await failure(stub.Raise(text("why")))
        assert error.code() == grpc.StatusCode.UNKNOWN
        assert error.details() == "Unexpected <class 'ValueError'>: why"

    async def test_an_abort_counts_though_the_servicer_catches_it(self, stub):
        error = await failure(stub.Swallow(text("still")))
        assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "still")

    async def test_a_method_that_is_not_there_is_unimplemented(self, stub):
        error = await failure(stub.NoSuch(text("")))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        error = await failure(stub.NoSuchStream(text("")).read())
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED


class Limits:
    async def test_messages_up_to_the_limit_pass_both_ways(self, stub):
        assert len((await stub.Echo(text("x" * 99_000))).value) == 99_000

    async def test_a_request_over_the_limit_is_refused_and_the_next_one_served(self, stub, far):
        error = await failure(stub.Echo(text("x" * 100_001)))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details().startswith("SERVER: Received message larger than max (1000")
        assert await stub.Echo(text("y")) == text("y")

    async def test_a_reply_over_the_limit_is_refused_and_the_next_one_served(self, stub):
        error = await failure(stub.Large(text("100001")))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "CLIENT: Received message larger than max (1000" in error.details()
        assert len((await stub.Large(text("99000"))).value) == 99_000
