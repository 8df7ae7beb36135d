"""`make bench [ONLY=name]`: prints one row for each figure and writes build/bench/NAME.json."""

from __future__ import annotations

import sys
import traceback

import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import (
    chain,
    flow_core,
    gateway_cached,
    gateway_frontier,
    gateway_peers,
    gateway_stream,
    gateway_ttft,
    gateway_unary,
    idle_memory,
    inprocess_channel,
    start,
    streams_10k,
    switch,
    turn_memory,
    turn_work,
)
from tests.bench.canned_streams import CANNED_STREAMS
from tests.bench.harness import Figure, Skipped, report_skipped
from tests.bench.peers.http_gateways import HTTP_GATEWAYS

BENCHES = {
    "start": start.measure,
    "idle_memory": idle_memory.measure,
    "inprocess_channel": inprocess_channel.measure,
    **{name: gateway_unary.of(engine) for engine, name in gateway_unary.NAMES.items()},
    "gateway_cached": gateway_cached.measure,
    **{f"gateway_stream_{provider}": gateway_stream.of(provider) for provider in CANNED_STREAMS},
    "gateway_ttft": gateway_ttft.measure,
    **{f"gateway_{peer}": gateway_peers.of(peer) for peer in HTTP_GATEWAYS},
    "gateway_frontier": gateway_frontier.measure,
    "switch": switch.measure,
    "streams_10k": streams_10k.measure,
    "flow_core": flow_core.measure,
    "turn_memory": turn_memory.measure,
    "turn_work": turn_work.measure,
    **{name: chain.of(name) for name in chain.ROWS},
}


def number(value: float | None) -> str:
    """Three digits that matter."""
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def row(figure: Figure) -> tuple[str, ...]:
    """The figure's cells."""
    verdict = {True: "yes", False: "no", None: ""}[figure.holds]
    cells = (figure.name, number(figure.ours), number(figure.against), figure.unit, number(figure.ratio))
    return (*cells, figure.goal, verdict)


def main(only: list[str]) -> None:
    """Runs the benches that were named, or all."""
    unknown = set(only) - set(BENCHES)
    if unknown:
        sys.exit(f"no bench called {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}")
    table = Table("name", "ours", "against", "unit", "ratio", "goal", "holds")
    failed, reports = [], []
    for name in only or BENCHES:
        try:
            figure = uvloop.run(BENCHES[name]())
        except Skipped as reason:
            report_skipped(name, reason)
            table.add_row(name, "skipped")
        except Exception:  # noqa: BLE001 - the others are still measured
            traceback.print_exc()
            failed.append(name)
            table.add_row(name, "failed")
        else:
            figure.write()
            table.add_row(*row(figure))
            reports.append(figure.report)
    Console(width=120).print(table)
    for report in filter(None, reports):
        print(report)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
