"""The frontier: requests per second that a gateway sustains while its 99th percentile stays below a bound.

The load is an open loop: requests go out on a schedule, whether or not earlier ones were answered, and each
one's latency counts from when it should have gone out. Every gateway is offered rising shares of what it
answers in a closed loop. The bare relay stands beside ours, and the other gateways that can run here.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import grpc.aio
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub

from tests.bench.canned_streams import DELTA, DELTAS
from tests.bench.gateway_setup import REQUEST, backend, bare_relay, gateway, mock_backend, read_text
from tests.bench.harness import ROUNDS, Figure, Skipped, conditions, report_skipped
from tests.bench.load import FAILED_CALL, drive, open_loop, quantiles
from tests.bench.peers.http_gateways import HTTP_GATEWAYS

Call = Callable[[], Awaitable[object]]

BOUNDS = (5, 10, 50, 100)
"""Milliseconds that the 99th percentile may take."""
SHOWN = 50
"""The bound of the row; the others are in the file."""
SHARES = (0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Of the closed loop's requests per second."""
STEP = 2.0
"""Seconds of each share."""
CALLERS = 64
"""Of the closed loop."""
FIRST_CALLS = 200
STREAM_SHARE = 0.1
"""Streams per second, as a share of the closed loop's requests: a stream has a hundred deltas."""
STREAM_SECONDS = 10.0


async def measure() -> Figure:
    """Climbs with each gateway in turn, round by round."""
    frontiers: dict[str, list[Mapping[int, float]]] = {}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(mock_backend())
        relay = await stack.enter_async_context(bare_relay(url))
        served = await stack.enter_async_context(gateway(model=backend(url)))
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address))
            for address in (served.address, relay.address)
        ]
        ours, against = map(ModelGatewayServiceStub, channels)
        calls: dict[str, Call] = {
            "ours": lambda: ours.Generate(REQUEST),
            "relay": lambda: against.Generate(REQUEST),
        }
        for name, peer in HTTP_GATEWAYS.items():
            try:
                calls[name] = await stack.enter_async_context(peer.serve(url))
            except Skipped as reason:
                report_skipped(f"gateway_frontier, {name}", reason)
        capacities: dict[str, float] = {}
        for name, call in calls.items():
            try:
                capacities[name] = await _capacity(call)
            except* FAILED_CALL as errors:
                report_skipped(f"gateway_frontier, {name}", errors.exceptions[0])
        for _ in range(ROUNDS):
            for name, capacity in capacities.items():
                frontiers.setdefault(name, []).append(await _frontier(calls[name], capacity))
        lost, frames = await _lost_frames(ours, capacities["ours"] * STREAM_SHARE)
    medians = {
        name: {bound: statistics.median(each[bound] for each in rounds) for bound in BOUNDS}
        for name, rounds in frontiers.items()
    }
    ratio = medians["ours"][SHOWN] / medians["relay"][SHOWN] if medians["relay"][SHOWN] else None
    return Figure(
        name="gateway_frontier",
        ours=medians["ours"][SHOWN],
        against=medians["relay"][SHOWN],
        unit=f"requests/s, p99 <= {SHOWN} ms",
        ratio=ratio,
        goal="0 frames lost",
        holds=lost == 0,
        conditions=conditions(
            requests_per_second_by_p99_ms=medians,
            closed_loop_requests_per_second=capacities,
            against="bare grpc.aio + aiohttp relay",
            peers={name: peer.package for name, peer in HTTP_GATEWAYS.items() if name in capacities},
            seconds_per_step=STEP,
            stream_frames=frames,
            stream_frames_lost=lost,
        ),
    )


async def _capacity(call: Call) -> float:
    """Requests per second of a closed loop, once it is warm."""
    calls = FIRST_CALLS
    for _ in range(3):
        per_second = (await drive(call, calls=calls, callers=CALLERS)).per_second
        calls = max(FIRST_CALLS, round(per_second * STEP))
    return per_second


async def _frontier(call: Call, capacity: float) -> Mapping[int, float]:
    """Bound → most requests per second within it; 0 where even the lowest share is beyond it."""
    best = dict.fromkeys(BOUNDS, 0.0)
    for share in SHARES:
        _, p99 = quantiles(await open_loop(call, per_second=share * capacity, seconds=STEP))
        best.update((bound, share * capacity) for bound in BOUNDS if p99 * 1000 <= bound)
    return best


async def _lost_frames(stub: ModelGatewayServiceStub, per_second: float) -> tuple[int, int]:
    """Deltas of the backend that did not arrive in streams on a schedule, and all deltas."""
    lengths: list[int] = []

    async def stream() -> None:
        try:
            lengths.append(await read_text(stub))
        except grpc.aio.AioRpcError:
            lengths.append(0)

    await open_loop(stream, per_second=per_second, seconds=STREAM_SECONDS)
    frames = DELTAS * len(lengths)
    return frames - sum(lengths) // len(DELTA), frames
