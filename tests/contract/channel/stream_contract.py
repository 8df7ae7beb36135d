"""Streaming calls: order, API styles, half-close, early ends, flow control."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from tests.contract.channel.servicer import FLOOD, FLOOD_SIZE, text

EOF = grpc.aio.EOF


async def values(responses):
    return [each.value async for each in responses]


async def settled(value):
    """The value once it has not changed for a while."""
    last, same = value(), 0
    async with asyncio.timeout(20):
        while same < 20:
            await asyncio.sleep(0.01)
            same = same + 1 if value() == last else 0
            last = value()
    return last


async def numbers(count):
    for each in range(count):
        yield text(str(each))


class ResponseStreams:
    @pytest.mark.parametrize("method", ["Count", "CountByWriting"])
    @pytest.mark.parametrize("count", [0, 1, 100])
    async def test_responses_arrive_in_order_when_iterated(self, stub, method, count):
        call = getattr(stub, method)(text(str(count)))
        assert await values(call) == [str(each) for each in range(count)]
        assert (call.done(), await call.code()) == (True, grpc.StatusCode.OK)

    @pytest.mark.parametrize("method", ["Count", "CountByWriting"])
    async def test_responses_arrive_in_order_when_read_with_eof_after_them(self, stub, method):
        call = getattr(stub, method)(text("3"))
        assert [await call.read() for _ in range(5)] == [text("0"), text("1"), text("2"), EOF, EOF]

    async def test_a_second_iteration_continues_where_the_first_stopped(self, stub):
        call = stub.Count(text("4"))
        assert await anext(aiter(call)) == text("0")
        assert await anext(aiter(call)) == text("1")
        assert await values(call) == ["2", "3"]

    async def test_reading_and_iterating_do_not_mix(self, stub):
        call = stub.CountAndWait(text("2"))
        await call.read()
        with pytest.raises(grpc.aio.UsageError):
            aiter(call)
        call.cancel()
        call = stub.CountAndWait(text("2"))
        aiter(call)
        with pytest.raises(grpc.aio.UsageError):
            await call.read()
        call.cancel()

    async def test_an_abort_arrives_after_the_responses_before_it(self, stub):
        call = stub.CountAndAbort(text("3"))
        responses = aiter(call)
        assert [(await anext(responses)).value for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(responses)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "lost")
        assert caught.value.trailing_metadata()["x-last"] == "2"
        assert await call.code() == grpc.StatusCode.DATA_LOSS

    async def test_an_exception_arrives_after_the_responses_before_it(self, stub):
        call = stub.CountAndRaise(text("2"))
        assert [await call.read(), await call.read()] == [text("0"), text("1")]
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError, match="Unexpected <class 'ValueError'>: broken"):
                await call.read()

    async def test_an_iteration_that_has_failed_is_over(self, stub):
        responses = aiter(stub.CountAndRaise(text("1")))
        assert await anext(responses) == text("0")
        with pytest.raises(grpc.aio.AioRpcError, match="broken"):
            await anext(responses)
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(responses)

    async def test_the_status_is_not_known_before_the_responses_are_read(self, stub):
        call = stub.Count(text("3"))
        ended = asyncio.ensure_future(call.code())
        first = await call.read()
        assert not ended.done()
        assert [first.value, *[(await call.read()).value for _ in range(2)]] == ["0", "1", "2"]
        assert await call.read() is EOF
        assert await ended == grpc.StatusCode.OK

    async def test_responses_can_be_read_while_the_servicer_runs_on(self, stub, servicer):
        call = stub.CountAndWait(text("2"))
        await servicer.started.wait()
        assert [await call.read(), await call.read()] == [text("0"), text("1")]
        assert not call.done()
        call.cancel()


class RequestStreams:
    @pytest.mark.parametrize("method", ["Join", "JoinByReading"])
    async def test_requests_arrive_in_order_from_any_source(self, stub, method):
        call = getattr(stub, method)
        expected = text(",".join(str(each) for each in range(50)))
        assert await call(numbers(50)) == expected
        assert await call(text(str(each)) for each in range(50)) == expected
        assert await call([text(str(each)) for each in range(50)]) == expected
        written = call()
        for each in range(50):
            await written.write(text(str(each)))
        await written.done_writing()
        await written.done_writing()
        assert await written == expected
        assert await written == expected

    @pytest.mark.parametrize("method", ["Join", "JoinByReading"])
    async def test_no_requests_at_all(self, stub, method):
        assert await getattr(stub, method)(iter(())) == text("")

    async def test_nothing_can_be_written_after_done_writing(self, stub):
        call = stub.Join()
        await call.write(text("1"))
        await call.done_writing()
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(text("2"))
        assert await call == text("1")
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(text("3"))
        await call.done_writing()

    async def test_an_iterator_and_writing_do_not_mix(self, stub):
        call = stub.Join(numbers(1))
        with pytest.raises(grpc.aio.UsageError):
            await call.write(text("2"))
        with pytest.raises(grpc.aio.UsageError):
            await call.done_writing()
        assert await call == text("0")

    async def test_a_servicer_may_respond_before_the_requests_end(self, stub):
        call = stub.First()
        await call.write(text("1"))
        assert await call == text("1")
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(text("2"))
        await call.done_writing()

    async def test_an_iterator_that_fails_cancels_the_call(self, stub):
        async def broken():
            yield text("1")
            raise ValueError

        call = stub.Join(broken())
        with pytest.raises(asyncio.CancelledError):
            await call
        assert call.cancelled()
        assert await call.details() == "Locally cancelled by application!"


class BidirectionalStreams:
    @pytest.mark.parametrize("method", ["Talk", "TalkByReading"])
    async def test_both_sides_take_turns(self, stub, method):
        call = getattr(stub, method)()
        for word in ("one", "two"):
            await call.write(text(word))
            assert await call.read() == text(f"re: {word}")
        await call.done_writing()
        assert [await call.read(), await call.read()] == [text("bye"), EOF]

    @pytest.mark.parametrize("method", ["Talk", "TalkByReading"])
    async def test_requests_are_sent_while_responses_arrive(self, stub, method):
        assert await values(getattr(stub, method)(numbers(30))) == [*(f"re: {n}" for n in range(30)), "bye"]

    async def test_the_servicer_may_end_the_call_while_the_caller_still_sends(self, stub):
        call = stub.TalkUntilStop()
        await call.write(text("one"))
        await call.write(text("stop"))
        assert await values(call) == ["re: one"]
        assert await call.code() == grpc.StatusCode.OK
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(text("more"))

    async def test_a_hundred_streams_at_once_do_not_mix(self, stub):
        async def talk(name):
            call, found = stub.Talk(), []
            for each in range(10):
                await call.write(text(f"{name}-{each}"))
                found.append((await call.read()).value)
            call.cancel()
            return found

        talks = await asyncio.gather(*(talk(name) for name in range(100)))
        assert talks == [[f"re: {name}-{each}" for each in range(10)] for name in range(100)]


class FlowControl:
    async def test_a_caller_that_does_not_read_blocks_the_servicer_and_loses_nothing(self, stub, servicer):
        call = stub.Flood(text(""))
        first = await call.read()
        blocked = await settled(lambda: servicer.written)
        assert blocked < FLOOD - 10
        rest = [(await call.read()).value[:6] for _ in range(FLOOD - 1)]
        assert [first.value[:6], *rest] == [f"{each:06}" for each in range(FLOOD)]
        assert await call.read() is EOF

    async def test_a_servicer_that_does_not_read_blocks_the_caller_and_loses_nothing(self, stub, servicer):
        sent = 0

        async def flood():
            nonlocal sent
            for _ in range(FLOOD):
                yield text("x" * FLOOD_SIZE)
                sent += 1

        call = stub.ReadLater(flood())
        await servicer.started.wait()
        assert await settled(lambda: sent) < FLOOD - 10
        servicer.ended.set()
        assert await call == text(str(FLOOD))

    async def test_a_blocked_servicer_is_cancelled_with_the_call(self, stub, servicer):
        call = stub.Flood(text(""))
        await call.read()
        await settled(lambda: servicer.written)
        call.cancel()
        async with asyncio.timeout(20):
            await servicer.ended.wait()

    async def test_a_blocked_writer_ends_with_the_call(self, stub, servicer):
        call = stub.ReadLater(timeout=0.5)

        async def write():
            while True:
                await call.write(text("x" * FLOOD_SIZE))

        writing = asyncio.ensure_future(write())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        # A write that fails at the same moment may win over the deadline: grpc.aio then reports INTERNAL.
        ends = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL}
        assert caught.value.code() in ends
        async with asyncio.timeout(20):
            with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
                await writing
