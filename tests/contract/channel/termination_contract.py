"""How calls end early: deadlines, cancellation by either side, a closed channel."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from tests.contract.channel.servicer import text
from tests.contract.channel.stream_contract import values
from tests.contract.channel.unary_contract import error_of
from tests.support.deadlines import expired

CANCELLED_LOCALLY = "Locally cancelled by application!"


async def wait_for(event):
    async with asyncio.timeout(20):
        await event.wait()


class Deadlines:
    async def test_the_servicer_sees_what_remains(self, stub):
        assert await stub.Remaining(text("")) == text("none")
        # gRPC rounds the timeout up in transit.
        assert 25 < float((await stub.Remaining(text(""), timeout=30)).value) < 31

    async def test_the_caller_sees_what_remains(self, stub):
        call = stub.Wait(text(""), timeout=30)
        assert 25 < call.time_remaining() <= 30
        call.cancel()

    async def test_an_expired_deadline_ends_both_sides(self, stub, servicer):
        async def attempt(seconds):
            call = stub.Wait(text(""), timeout=seconds)
            return call, await error_of(call)

        call, error = await expired(attempt, servicer.started.is_set)
        assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        assert not call.cancelled()
        await wait_for(servicer.ended)
        await wait_for(servicer.called_back)

    async def test_a_stream_ends_with_its_deadline(self, stub, servicer):
        def attempt(seconds):
            return error_of(values(stub.CountAndWait(text("2"), timeout=seconds)))

        error = await expired(attempt, servicer.started.is_set)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await wait_for(servicer.ended)

    async def test_a_deadline_in_the_past_expires_at_once(self, stub):
        error = await error_of(stub.Wait(text(""), timeout=-1))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    async def test_a_call_that_ends_in_time_does_not_change_later(self, stub):
        for seconds in (0.5, 5, 20):
            call = stub.Echo(text("in time"), timeout=seconds)
            if await call.code() == grpc.StatusCode.OK:
                break
        await asyncio.sleep(seconds + 0.1)
        assert await call.code() == grpc.StatusCode.OK
        assert await call == text("in time")


class Cancellation:
    async def test_cancelling_a_call_cancels_the_servicer(self, stub, servicer):
        call = stub.Wait(text(""))
        awaiting = asyncio.ensure_future(call)
        await wait_for(servicer.started)
        assert (call.cancel(), call.cancel()) == (True, False)
        assert (call.done(), call.cancelled()) == (True, True)
        with pytest.raises(asyncio.CancelledError):
            await awaiting
        assert (await call.code(), await call.details()) == (grpc.StatusCode.CANCELLED, CANCELLED_LOCALLY)
        assert tuple(await call.trailing_metadata()) == ()
        await wait_for(servicer.ended)
        await wait_for(servicer.called_back)

    async def test_cancelling_the_awaiting_task_cancels_the_call(self, stub, servicer):
        call = stub.Wait(text(""))
        awaiting = asyncio.ensure_future(call)
        await wait_for(servicer.started)
        awaiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await awaiting
        assert call.cancelled()
        await wait_for(servicer.ended)

    async def test_cancelling_a_reader_cancels_the_call(self, stub, servicer):
        call = stub.CountAndWait(text("1"))
        assert await call.read() == text("0")
        await wait_for(servicer.started)
        reading = asyncio.ensure_future(call.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert call.cancelled()
        await wait_for(servicer.ended)

    async def test_a_cancelled_stream_gives_no_more_responses(self, stub, servicer):
        call = stub.CountAndWait(text("3"))
        assert await call.read() == text("0")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.read()
        await wait_for(servicer.ended)

    async def test_a_call_can_be_cancelled_right_after_its_start(self, stub):
        for call in (stub.Wait(text("")), stub.CountAndWait(text("1")), stub.Join(), stub.Talk()):
            assert call.cancel()
            assert await call.code() == grpc.StatusCode.CANCELLED

    async def test_the_servicer_context_of_a_cancelled_call(self, stub, servicer):
        """A write fails; `cancelled` is about codes that the servicer has set itself."""
        call = stub.CountAndWait(text("0"))
        await wait_for(servicer.started)
        call.cancel()
        await wait_for(servicer.ended)
        assert isinstance(servicer.received[0], grpc.aio.InternalError)
        await wait_for(servicer.called_back)
        assert (servicer.context.cancelled(), servicer.context.done(), servicer.context.code()) == (
            False,
            False,
            None,
        )

    async def test_a_cancelled_call_does_not_disturb_others(self, stub, servicer):
        calls = [stub.Wait(text("")) for _ in range(20)]
        echoes = [stub.Echo(text(str(each))) for each in range(20)]
        for call in calls:
            call.cancel()
        assert [(await each).value for each in echoes] == [str(each) for each in range(20)]


class Closing:
    async def test_an_open_channel_is_ready(self, channel):
        await channel.channel_ready()
        assert channel.get_state() == grpc.ChannelConnectivity.READY

    async def test_a_closed_channel_refuses_calls(self, channel, stub):
        await channel.close()
        await channel.close()
        assert channel.get_state() == grpc.ChannelConnectivity.SHUTDOWN
        with pytest.raises(grpc.aio.UsageError):
            await stub.Echo(text(""))

    async def test_closing_cancels_the_calls_in_flight(self, channel, stub, servicer):
        single, stream = stub.Wait(text("")), stub.CountAndWait(text("0"))
        waiting = [asyncio.ensure_future(single), asyncio.ensure_future(stream.read())]
        await wait_for(servicer.started)
        await channel.close()
        for each in waiting:
            with pytest.raises(asyncio.CancelledError):
                await each
        assert (await single.code(), await stream.code()) == (grpc.StatusCode.CANCELLED,) * 2
        await wait_for(servicer.ended)

    async def test_a_call_may_end_within_the_grace(self, channel, stub, servicer):
        call = stub.Talk()
        await call.write(text("one"))
        assert await call.read() == text("re: one")
        closing = asyncio.ensure_future(channel.close(20))
        await asyncio.sleep(0)
        await call.done_writing()
        assert [await call.read(), await call.read()] == [text("bye"), grpc.aio.EOF]
        await closing
        assert await call.code() == grpc.StatusCode.OK

    async def test_a_call_is_cancelled_after_the_grace(self, channel, stub, servicer):
        call = stub.Wait(text(""))
        waiting = asyncio.ensure_future(call)
        await wait_for(servicer.started)
        await channel.close(0.05)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await wait_for(servicer.ended)

    async def test_exiting_the_channels_context_closes_it(self, connect, servicer):
        async with connect(servicer.services(), -1) as channel:
            async with channel as same:
                assert same is channel
            assert channel.get_state() == grpc.ChannelConnectivity.SHUTDOWN
