"""The servicer behind the channel under test; its methods do what their names say."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

SERVICE = "test.Contract"
HANDLER_FACTORIES = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}
KINDS = {
    "Echo": "unary_unary",
    "Change": "unary_unary",
    "Headers": "unary_unary",
    "Abort": "unary_unary",
    "SetCode": "unary_unary",
    "Raise": "unary_unary",
    "Swallow": "unary_unary",
    "Remaining": "unary_unary",
    "Wait": "unary_unary",
    "Large": "unary_unary",
    "Count": "unary_stream",
    "CountByWriting": "unary_stream",
    "CountAndAbort": "unary_stream",
    "CountAndRaise": "unary_stream",
    "CountAndWait": "unary_stream",
    "Flood": "unary_stream",
    "Join": "stream_unary",
    "JoinByReading": "stream_unary",
    "First": "stream_unary",
    "ReadLater": "stream_unary",
    "Talk": "stream_stream",
    "TalkByReading": "stream_stream",
    "TalkUntilStop": "stream_stream",
}
FLOOD = 400
"""Responses of Flood; with FLOOD_SIZE much more than HTTP/2's windows and the sockets' buffers can hold."""
FLOOD_SIZE = 65_536


def text(value: str) -> StringValue:
    return StringValue(value=value)


class Servicer:
    """Records what it receives, and sets an event whenever it waits."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        """Set when a method waits."""
        self.ended = asyncio.Event()
        """Set when that method was cancelled."""
        self.called_back = asyncio.Event()
        self.context = None
        self.metadata = ()
        self.received = []
        self.written = 0

    def services(self) -> dict[str, dict[str, grpc.RpcMethodHandler]]:
        """Service → its handlers, by the names of the methods."""
        handlers = {
            name: HANDLER_FACTORIES[kind](
                getattr(self, name),
                request_deserializer=StringValue.FromString,
                response_serializer=StringValue.SerializeToString,
            )
            for name, kind in KINDS.items()
        }
        return {SERVICE: handlers}

    async def Echo(self, request, context):
        self.metadata = context.invocation_metadata()
        return request

    async def Change(self, request, context):
        """Changes its request, and changes its response after it was sent."""
        self.received.append(request)
        response = text(f"{request.value} seen")
        request.value = "changed by the servicer"
        context.add_done_callback(lambda _: setattr(response, "value", "changed after the response"))
        return response

    async def Headers(self, request, context):
        self.metadata = context.invocation_metadata()
        await context.send_initial_metadata((("x-first", "1"), ("x-first-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-last", "2"), ("x-last-bin", b"\xff\x00")))
        return request

    async def Abort(self, request, context):
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION, request.value, (("grpc-status-details-bin", b"\x08\x09"),)
        )

    async def SetCode(self, request, context):
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details(request.value)
        context.set_trailing_metadata((("x-last", "2"),))
        return request

    async def Raise(self, request, context):
        raise ValueError(request.value)

    async def Swallow(self, request, context):
        try:
            await context.abort(grpc.StatusCode.ABORTED, request.value)
        except grpc.aio.AbortError:
            return request

    async def Remaining(self, request, context):
        remaining = context.time_remaining()
        return text("none" if remaining is None else str(remaining))

    async def Wait(self, request, context):
        try:
            await self._wait(context)
        finally:
            self.ended.set()

    async def Large(self, request, context):
        return text("x" * int(request.value))

    async def Count(self, request, context):
        for each in range(int(request.value)):
            yield text(str(each))

    async def CountByWriting(self, request, context):
        for each in range(int(request.value)):
            await context.write(text(str(each)))

    async def CountAndAbort(self, request, context):
        for each in range(int(request.value)):
            yield text(str(each))
        await context.abort(grpc.StatusCode.DATA_LOSS, "lost", (("x-last", "2"),))

    async def CountAndRaise(self, request, context):
        for each in range(int(request.value)):
            yield text(str(each))
        raise ValueError("broken")

    async def CountAndWait(self, request, context):
        try:
            for each in range(int(request.value)):
                yield text(str(each))
            try:
                await self._wait(context)
            except asyncio.CancelledError:
                try:
                    await context.write(text("to nobody"))
                except grpc.aio.BaseError as error:
                    self.received.append(error)
                raise
        finally:
            # Around everything: the caller may cancel while the first responses are still being written.
            self.ended.set()

    async def Flood(self, request, context):
        try:
            for each in range(FLOOD):
                yield text(f"{each:06}".ljust(FLOOD_SIZE))
                self.written += 1
        finally:
            self.ended.set()

    async def Join(self, requests, context):
        return text(",".join([each.value async for each in requests]))

    async def JoinByReading(self, requests, context):
        found = []
        while (each := await context.read()) is not grpc.aio.EOF:
            found.append(each.value)
        return text(",".join(found))

    async def First(self, requests, context):
        return await context.read()

    async def ReadLater(self, requests, context):
        """Reads nothing until the test sets `ended`."""
        self.started.set()
        await self.ended.wait()
        return text(str(len([each async for each in requests])))

    async def Talk(self, requests, context):
        async for each in requests:
            yield text(f"re: {each.value}")
        yield text("bye")

    async def TalkByReading(self, requests, context):
        while (each := await context.read()) is not grpc.aio.EOF:
            await context.write(text(f"re: {each.value}"))
        await context.write(text("bye"))

    async def TalkUntilStop(self, requests, context):
        async for each in requests:
            if each.value == "stop":
                return
            yield text(f"re: {each.value}")

    async def _wait(self, context):
        self.context = context
        context.add_done_callback(lambda _: self.called_back.set())
        self.started.set()
        await asyncio.Event().wait()


class Stub:
    """A stub like those of generated code."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        for name, kind in {**KINDS, "NoSuch": "unary_unary", "NoSuchStream": "unary_stream"}.items():
            bound = getattr(channel, kind)(
                f"/{SERVICE}/{name}",
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
                _registered_method=True,
            )
            setattr(self, name, bound)
