"""The table of `clawdbot models top`: as many columns and backends as the terminal has room for.

Names come from elsewhere, so all text passes through `sanitize`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import Priority
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clawdbot_cli.models.backend_state import backend_state
from clawdbot_cli.sanitize import sanitize

HEADS: Final = (
    "backend",
    "state",
    "in flight",
    "queue",
    "conns",
    "idle",
    "req/s",
    "errors",
    "in tok/s",
    "out tok/s",
    "cached",
    "cost",
    "today",
)
TEXT_COLUMNS: Final = 2
"""Columns at the left; those that follow are numbers."""
LEFT_OUT: Final = (
    *("idle", "conns", "cached", "cost", "in tok/s", "out tok/s", "today", "errors", "req/s", "queue"),
    *("in flight", "state"),
)
"""Columns that a narrow terminal does without, the first one first."""
GAP: Final = 2
"""Characters between two columns."""
MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """The backends at one time."""

    at: float
    """Monotonic seconds."""
    backends: Sequence[Backend]
    spent: Mapping[str, int] | None = None
    """Backend → cost of today's calls in micros; None where the gateway does not tell this caller."""


def top_view(now: Look, before: Look, width: int, height: int | None = None) -> RenderableType:
    """The view of a look and the one before it.

    Args:
        now: what is shown.
        before: rates are the difference from it.
        width: of the terminal, in characters.
        height: of the terminal, in lines. Of more backends those with the most requests are shown, the ones
            in trouble before them; None: all are.
    """
    backends, rest = now.backends, 0
    if height is not None and len(backends) >= height:
        shown = max(1, height - 2)
        chosen = {each.name for each in sorted(backends, key=_urgency)[:shown]}
        rest = len(backends) - len(chosen)
        backends = [each for each in backends if each.name in chosen]
    earlier = {each.name: each for each in before.backends}
    rows = [_row(each, earlier.get(each.name, each), now.at - before.at, now.spent) for each in backends]
    table = _table(rows, width)
    if not rest:
        return table
    words = f"… and {rest:,} more {'backend' if rest == 1 else 'backends'} with less to do"
    return Group(table, Text(words, "dim", no_wrap=True, overflow="ellipsis"))


def _urgency(backend: Backend) -> tuple[bool, int, int]:
    return not backend_state(backend), -backend.requests_in_flight, -backend.requests


def _table(rows: Sequence[Sequence[str]], width: int) -> Table:
    columns = dict(zip(HEADS, zip(HEADS, *rows, strict=True), strict=True))
    widths = {head: max(map(cell_len, column)) for head, column in columns.items()}
    for head in LEFT_OUT:
        if sum(widths.values()) + GAP * (len(widths) - 1) <= width:
            break
        del widths[head]
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for number, head in enumerate(HEADS):
        if head in widths:
            table.add_column(head, no_wrap=True, justify="left" if number < TEXT_COLUMNS else "right")
    for cells in zip(*(columns[head][1:] for head in widths), strict=True):
        table.add_row(*map(Text, cells))
    return table


def _row(
    backend: Backend, earlier: Backend, seconds: float, spent: Mapping[str, int] | None
) -> tuple[str, ...]:
    def rate(field: str) -> str:
        # A worker that was replaced counts from zero again.
        grown = max(0, getattr(backend, field) - getattr(earlier, field))
        return f"{grown / seconds:,.1f}" if seconds else "–"

    limit = f"/{backend.max_concurrency:,}" if backend.max_concurrency else ""
    waiting = sum(each.requests for each in backend.queues)
    return (
        sanitize(backend.name),
        backend_state(backend) or "ok",
        f"{backend.requests_in_flight - waiting:,}{limit}",
        _queue(backend),
        f"{backend.open_connections:,}",
        f"{backend.idle_connections:,}",
        rate("requests"),
        f"{backend.errors:,}",
        rate("input_tokens"),
        rate("output_tokens"),
        f"{backend.cache_hits:,}",
        _money(backend.cost_micros),
        _money(None if spent is None else spent.get(backend.name, 0)),
    )


def _money(micros: int | None) -> str:
    """Dollars; a dash where nothing was spent, or nobody knows."""
    return f"{micros / MICROS:,.2f}" if micros else "–"


def _queue(backend: Backend) -> str:
    """How many wait, with the classes' initials: "3i 2s"; a dash where none does."""
    waiting = [
        f"{each.requests:,}{Priority.Name(each.priority).removeprefix('PRIORITY_')[0].lower()}"
        for each in backend.queues
        if each.requests
    ]
    return " ".join(waiting) or "–"
