"""How calls end early: deadlines, cancellation by either side, a channel that closes."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from tests.contract.channel.far import text
from tests.contract.channel.single_contract import failure
from tests.contract.channel.stream_contract import values

HERE = "Locally cancelled by application!"


async def soon(event):
    async with asyncio.timeout(5):
        await event.wait()


class Deadlines:
    async def test_the_servicer_sees_what_remains(self, stub):
        assert await stub.Remaining(text("")) == text("none")
        # gRPC rounds the time up on its way.
        assert 25 < float((await stub.Remaining(text(""), timeout=30)).value) < 31

    async def test_the_caller_sees_what_remains(self, stub):
        call = stub.Wait(text(""), timeout=30)
        assert 25 < call.time_remaining() <= 30
        call.cancel()

    async def test_the_end_of_the_time_ends_both_sides(self, stub, far):
        call = stub.Wait(text(""), timeout=0.1)
        error = await failure(call)
        assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        assert not call.cancelled()
        await soon(far.ended)
        await soon(far.called_back)

    async def test_a_stream_ends_with_its_time(self, stub, far):
        call = stub.CountAndWait(text("2"), timeout=0.2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await values(call)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await soon(far.ended)

    async def test_time_that_is_over_is_over_at_once(self, stub):
        error = await failure(stub.Wait(text(""), timeout=-1))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    async def test_a_call_that_ends_in_time_is_not_touched_later(self, stub):
        call = stub.Echo(text("in time"), timeout=0.2)
        assert await call == text("in time")
        await asyncio.sleep(0.3)
        assert await call.code() == grpc.StatusCode.OK


class Cancellation:
    async def test_cancelling_a_call_cancels_the_servicer(self, stub, far):
        call = stub.Wait(text(""))
        awaiting = asyncio.ensure_future(call)
        await soon(far.begun)
        assert (call.cancel(), call.cancel()) == (True, False)
        assert (call.done(), call.cancelled()) == (True, True)
        with pytest.raises(asyncio.CancelledError):
            await awaiting
        assert (await call.code(), await call.details()) == (grpc.StatusCode.CANCELLED, HERE)
        assert tuple(await call.trailing_metadata()) == ()
        await soon(far.ended)
        await soon(far.called_back)

    async def test_cancelling_who_awaits_a_call_cancels_it(self, stub, far):
        call = stub.Wait(text(""))
        awaiting = asyncio.ensure_future(call)
        await soon(far.begun)
        awaiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await awaiting
        assert call.cancelled()
        await soon(far.ended)

    async def test_cancelling_a_reader_cancels_the_call(self, stub, far):
        call = stub.CountAndWait(text("1"))
        assert await call.read() == text("0")
        await soon(far.begun)
        reading = asyncio.ensure_future(call.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert call.cancelled()
        await soon(far.ended)

    async def test_a_cancelled_stream_gives_no_more_replies(self, stub, far):
        call = stub.CountAndWait(text("3"))
        assert await call.read() == text("0")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.read()
        await soon(far.ended)

    async def test_cancelling_right_after_the_call_began_is_as_good(self, stub):
        for call in (stub.Wait(text("")), stub.CountAndWait(text("1")), stub.Join(), stub.Talk()):
            assert call.cancel()
            assert await call.code() == grpc.StatusCode.CANCELLED

    async def test_the_servicers_context_of_a_cancelled_call(self, stub, far):
        """What it writes goes nowhere and says so; `cancelled` tells only of codes that it has set itself."""
        call = stub.CountAndWait(text("0"))
        await soon(far.begun)
        call.cancel()
        await soon(far.ended)
        assert isinstance(far.received[0], grpc.aio.InternalError)
        await soon(far.called_back)
        assert (far.context.cancelled(), far.context.done(), far.context.code()) == (False, False, None)

    async def test_a_cancelled_call_does_not_disturb_others(self, stub, far):
        calls = [stub.Wait(text("")) for _ in range(20)]
        echoes = [stub.Echo(text(str(each))) for each in range(20)]
        for call in calls:
            call.cancel()
        assert [(await each).value for each in echoes] == [str(each) for each in range(20)]


class Closing:
    async def test_an_open_channel_is_ready(self, channel):
        await channel.channel_ready()
        assert channel.get_state() == grpc.ChannelConnectivity.READY

    async def test_a_closed_channel_takes_no_calls(self, channel, stub):
        await channel.close()
        await channel.close()
        assert channel.get_state() == grpc.ChannelConnectivity.SHUTDOWN
        with pytest.raises(grpc.aio.UsageError):
            await stub.Echo(text(""))

    async def test_closing_cancels_the_calls_in_flight(self, channel, stub, far):
        single, stream = stub.Wait(text("")), stub.CountAndWait(text("0"))
        waiting = [asyncio.ensure_future(single), asyncio.ensure_future(stream.read())]
        await soon(far.begun)
        await channel.close()
        for each in waiting:
            with pytest.raises(asyncio.CancelledError):
                await each
        assert (await single.code(), await stream.code()) == (grpc.StatusCode.CANCELLED,) * 2
        await soon(far.ended)

    async def test_within_the_grace_a_call_may_end(self, channel, stub, far):
        call = stub.Talk()
        await call.write(text("one"))
        assert await call.read() == text("re: one")
        closing = asyncio.ensure_future(channel.close(20))
        await asyncio.sleep(0)
        await call.done_writing()
        assert [await call.read(), await call.read()] == [text("bye"), grpc.aio.EOF]
        await closing
        assert await call.code() == grpc.StatusCode.OK

    async def test_after_the_grace_it_is_cancelled(self, channel, stub, far):
        call = stub.Wait(text(""))
        waiting = asyncio.ensure_future(call)
        await soon(far.begun)
        await channel.close(0.05)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await soon(far.ended)

    async def test_leaving_the_channel_closes_it(self, connect, far):
        async with connect((far.handler(),), -1) as channel:
            async with channel as same:
                assert same is channel
            assert channel.get_state() == grpc.ChannelConnectivity.SHUTDOWN
