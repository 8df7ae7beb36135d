"""The live view of `clawdbot models top`: what the backends do, from one look to the next.

A gateway counts since its start; rates are the difference of two looks. What was spent today comes from its
records of usage. Names come from elsewhere, so all text passes through `sanitize`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import Priority
from clawdbot.model_gateway.v1.model_admin_service_pb2 import (
    USAGE_DIMENSION_MODEL,
    Backend,
    GetUsageRequest,
)
from clawdbot_servicekit.errors import RemoteError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clawdbot_cli.error_messages import error_message, is_connection_error, is_transient
from clawdbot_cli.models.backend_state import backend_state
from clawdbot_cli.models.client import PAGE_SIZE, ModelClient
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
PLAIN_WIDTH: Final = 500
"""Characters that a line may have where nothing is live."""
MICROS: Final = 1_000_000
SPEND_INTERVAL: Final = 10.0
"""Seconds between two questions about what was spent, which the gateway adds up from its records."""

ASKING_AGAIN: Final = "The view is old; the server is asked again until it answers."


@dataclass(frozen=True, slots=True)
class Look:
    """The backends at one time."""

    at: float
    """Monotonic seconds."""
    backends: Sequence[Backend]
    spent: Mapping[str, int] | None = None
    """Backend → cost of today's calls in micros; None where the gateway does not tell this caller."""


class Top:
    """Looks at the backends again and again.

    Args:
        client: the gateway.
        console: where the view is shown.
        interval: seconds between two looks.
    """

    def __init__(self, client: ModelClient, console: Console, interval: float) -> None:
        self._client = client
        self._console = console
        self._interval = interval
        self._spent: Mapping[str, int] | None = None
        self._spent_at = float("-inf")

    async def run(self, *, once: bool) -> None:
        """Shows the view until it is cancelled, also while the server is away.

        Once, or without a terminal: prints it, and returns.
        """
        before = await self._look()
        if once or not self._console.is_terminal:
            await asyncio.sleep(self._interval)
            # No line is cut, so that a program can read them.
            plain = Console(file=self._console.file, width=PLAIN_WIDTH, markup=False, no_color=True)
            plain.print(top_table(await self._look(), before))
            return
        with Live(top_table(before, before), console=self._console, screen=True, auto_refresh=False) as live:
            shown: RenderableType = top_table(before, before)
            while True:
                await asyncio.sleep(self._interval)
                try:
                    look = await self._look()
                except RemoteError as error:
                    if not is_connection_error(error) and not is_transient(error):
                        raise
                    words = f"{error_message(error, self._client.server)} {ASKING_AGAIN}"
                    live.update(Group(shown, "", Text(sanitize(words), "yellow")), refresh=True)
                    continue
                shown = top_table(look, before)
                live.update(shown, refresh=True)
                before = look

    async def _look(self) -> Look:
        backends = await self._client.list_backends()
        now = time.monotonic()
        if now - self._spent_at >= SPEND_INTERVAL:
            self._spent, self._spent_at = await self._spent_today(), now
        return Look(now, backends, self._spent)

    async def _spent_today(self) -> Mapping[str, int] | None:
        today = datetime.now(UTC).date().isoformat()
        request = GetUsageRequest(
            first_day=today, last_day=today, group_by=[USAGE_DIMENSION_MODEL], page_size=PAGE_SIZE
        )
        try:
            records = await self._client.usage(request)
        except RemoteError:
            # The key may not ask, or the records cannot be read: the rest of the view is still true.
            return None
        spent = Counter[str]()
        for each in records:
            spent[each.model.partition("/")[0]] += each.usage.cost_micros
        return spent


def top_table(now: Look, before: Look) -> Table:
    """The view of a look and the one before it."""
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(HEADS):
        table.add_column(head, no_wrap=True, justify="left" if number < TEXT_COLUMNS else "right")
    earlier = {each.name: each for each in before.backends}
    for each in now.backends:
        spent = None if now.spent is None else now.spent.get(each.name, 0)
        table.add_row(*_row(each, earlier.get(each.name, each), now.at - before.at), _money(spent))
    return table


def _row(now: Backend, before: Backend, seconds: float) -> tuple[str, ...]:
    def rate(field: str) -> str:
        # A worker that was replaced counts from zero again.
        grown = max(0, getattr(now, field) - getattr(before, field))
        return f"{grown / seconds:,.1f}" if seconds else "–"

    limit = f"/{now.max_concurrency:,}" if now.max_concurrency else ""
    waiting = sum(each.requests for each in now.queues)
    return (
        sanitize(now.name),
        backend_state(now) or "ok",
        f"{now.requests_in_flight - waiting:,}{limit}",
        _queue(now),
        f"{now.open_connections:,}",
        f"{now.idle_connections:,}",
        rate("requests"),
        f"{now.errors:,}",
        rate("input_tokens"),
        rate("output_tokens"),
        f"{now.cache_hits:,}",
        _money(now.cost_micros),
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
