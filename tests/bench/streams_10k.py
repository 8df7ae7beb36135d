"""10,000 streams at once through one gateway process: lost ones, memory of each, time to the first text.

They arrive over fifteen seconds, and the backend paces each so that the first one ends after the last has
begun. As a script it is that backend.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import grpc.aio
import uvloop
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub

from tests.bench.canned_streams import CANNED_STREAMS, DELTA
from tests.bench.gateway_setup import CHAT, STREAM, backend, bare_relay, gateway, mock_backend
from tests.bench.harness import Figure, Stopwatch, allow_open_files, conditions, resident_mb
from tests.bench.load import quantiles
from tests.bench.mock_backend import Connection, chunked, serve

GOAL = 40.0
"""KB of the gateway's memory for each stream."""
GOAL_FIRST_TEXT = 2.0
"""Seconds, at the 99th percentile, from when a stream should have begun."""
STREAMS = 10_000
ARRIVAL = 15.0
"""Seconds over which they arrive."""
PIECES = 5
PACE = 5.0
"""Seconds between the pieces of a stream."""
CHANNELS = 50
"""Connections; a server takes 256 calls on each by default."""
TIMEOUT = 120.0
SPARE_FILES = 500


async def measure() -> Figure:
    """One arrival of all at the gateway, and one at the bare relay."""
    allow_open_files(STREAMS + SPARE_FILES)
    async with mock_backend("tests.bench.streams_10k") as url:
        async with gateway(model=backend(url, http={"pool_size": STREAMS})) as served:
            ours = await _arrive(served.address, served.pid)
        async with bare_relay(url) as relay:
            against = await _arrive(relay.address, relay.pid)
    p50, p99 = quantiles(ours.first_texts)
    lost = STREAMS - ours.complete
    return Figure(
        name="streams_10k",
        ours=ours.kilobytes,
        against=against.kilobytes,
        unit="KB a stream",
        ratio=ours.kilobytes / against.kilobytes,
        goal=f"< {GOAL:g}, 0 lost, p99 < {GOAL_FIRST_TEXT:g} s",
        holds=ours.kilobytes < GOAL and not lost and p99 < GOAL_FIRST_TEXT and ours.most_open == STREAMS,
        conditions=conditions(
            streams=STREAMS,
            rounds=1,
            lost=lost,
            errors=ours.errors,
            open_at_once=ours.most_open,
            first_text_p50_s=p50,
            first_text_p99_s=p99,
            against="bare grpc.aio + aiohttp relay",
            against_first_text_p99_s=quantiles(against.first_texts)[1],
            pieces=PIECES,
            seconds_between_pieces=PACE,
        ),
    )


async def _arrive(address: str, pid: int) -> _Arrivals:
    """All streams, at one server."""
    async with AsyncExitStack() as stack:
        stubs = []
        for _ in range(CHANNELS):
            options = (("grpc.use_local_subchannel_pool", 1),)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options))
            await channel.channel_ready()
            stubs.append(ModelGatewayServiceStub(channel))
        idle = resident_mb(pid)
        arrivals = _Arrivals()
        async with asyncio.TaskGroup() as group:
            for index in range(STREAMS):
                begins_at = index * ARRIVAL / STREAMS
                group.create_task(arrivals.stream(stubs[index % CHANNELS], begins_at))
        arrivals.kilobytes = (resident_mb(pid, peak=True) - idle) * 1024 / STREAMS
    return arrivals


class _Arrivals:
    """What becomes of the streams."""

    def __init__(self) -> None:
        self.first_texts: list[float] = []
        self.complete = 0
        self.most_open = 0
        """Streams of which some, and not all, text had arrived at the same time."""
        self.errors = Counter[str]()
        self.kilobytes = 0.0
        """Of the server's memory for each."""
        self._open = 0
        self._clock = Stopwatch()

    async def stream(self, stub: ModelGatewayServiceStub, begins_at: float) -> None:
        """Reads one stream to its end."""
        await asyncio.sleep(begins_at - self._clock.seconds())
        length = 0
        try:
            async for event in stub.StreamGenerate(STREAM, timeout=TIMEOUT):
                text = event.text_delta.text
                if text and not length:
                    self.first_texts.append(self._clock.seconds() - begins_at)
                    self._open += 1
                    self.most_open = max(self.most_open, self._open)
                length += len(text)
            self.complete += length == PIECES * len(DELTA)
        except grpc.aio.AioRpcError as error:
            self.errors[f"{error.code().name}: {error.details()}"] += 1
        finally:
            self._open -= bool(length)


def paced_stream() -> list[bytes]:
    """A reply of so many pieces: role and first piece, those in between, last piece and end."""
    stream = CANNED_STREAMS[CHAT]
    role, *texts = stream.chunks()
    end = b"".join(texts[-3:])
    return chunked(stream.content_type, [role + texts[0], *texts[1 : PIECES - 1], texts[0] + end])


class PacedConnection(Connection):
    """Writes a stream piece by piece, as a model does."""

    pieces = paced_stream()

    def respond(self, chunks: list[bytes]) -> None:
        self._write(self.pieces if len(chunks) > 1 else chunks)

    def _write(self, pieces: list[bytes]) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(pieces[0])
        if len(pieces) > 1:
            asyncio.get_running_loop().call_later(PACE, self._write, pieces[1:])


if __name__ == "__main__":
    uvloop.run(serve(PacedConnection))
