"""The live view of `clawdbot models top`: what the backends do, from one look to the next.

A gateway counts since its start; rates are the difference of two looks. What was spent today comes from its
records of usage.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from clawdbot.model_gateway.v1.model_admin_service_pb2 import USAGE_DIMENSION_MODEL, GetUsageRequest
from clawdbot_servicekit.errors import RemoteError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from clawdbot_cli.error_messages import error_message, is_connection_error, is_transient
from clawdbot_cli.models.client import PAGE_SIZE, ModelClient
from clawdbot_cli.models.top_view import Look, top_view
from clawdbot_cli.sanitize import sanitize

PLAIN_WIDTH: Final = 500
"""Characters that a line may have where nothing is live."""
SPEND_INTERVAL: Final = 10.0
"""Seconds between two questions about what was spent, which the gateway adds up from its records."""

ASKING_AGAIN: Final = "The view is old; the server is asked again until it answers."


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

        Once, or where the screen cannot be drawn again: prints it, and returns.
        """
        before = await self._look()
        if once or not self._console.is_terminal or self._console.is_dumb_terminal:
            await asyncio.sleep(self._interval)
            # No line is cut, so that a program can read them.
            plain = Console(
                file=self._console.file, width=PLAIN_WIDTH, force_terminal=False, markup=False, no_color=True
            )
            plain.print(top_view(await self._look(), before, PLAIN_WIDTH))
            return
        look = before
        with Live(self._view(look, before), console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(self._interval)
                try:
                    before, look = look, await self._look()
                except RemoteError as error:
                    if not is_connection_error(error) and not is_transient(error):
                        raise
                    words = f"{error_message(error, self._client.server)} {ASKING_AGAIN}"
                    live.update(self._view(look, before, words), refresh=True)
                else:
                    live.update(self._view(look, before), refresh=True)

    def _view(self, look: Look, before: Look, warning: str = "") -> RenderableType:
        """What fits the terminal as it is now."""
        width, height = self._console.size
        if not warning:
            return top_view(look, before, width, height)
        # Above the table, which may fill the screen.
        text = Text(sanitize(warning), "yellow")
        left = height - len(text.wrap(self._console, width)) - 1
        return Group(text, "", top_view(look, before, width, left))

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
