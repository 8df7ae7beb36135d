"""A turn costs no more than it did. Its work is counted, not timed, so a busy machine does not matter.

`make bench ONLY=turn_work` prints all counts. A bound is what a turn does today, and some room for background
work.
"""

from __future__ import annotations

import pytest

from tests.bench.turn_work import BOOKING, CHAT, CONFIRMATION, counted_suite

pytestmark = pytest.mark.integration

ROOM = 0.6
"""Of background work in one turn; one more of anything is above it."""
ATTEMPTS = 4
MOST = {
    CHAT: {"tasks": 3, "jobs for threads": 2, "SQL statements": 5, "transactions": 2, "log lines": 1},
    BOOKING: {"tasks": 2, "jobs for threads": 2, "SQL statements": 7, "transactions": 2, "log lines": 1},
    CONFIRMATION: {
        "tasks": 5,
        "jobs for threads": 7,
        "SQL statements": 16,
        "transactions": 7,
        "log lines": 1,
    },
}
"""Kind of turn → what one does."""


async def test_a_turn_does_no_more_than_it_did():
    async with counted_suite() as suite:
        # A busy machine adds to a count and takes nothing from it.
        for _ in range(ATTEMPTS):
            work = await suite.work()
            counted = {kind: {name: work[kind][name] for name in bounds} for kind, bounds in MOST.items()}
            more = {
                f"{name} of a {kind} turn: {counted[kind][name]:.1f}, not {most}"
                for kind, bounds in MOST.items()
                for name, most in bounds.items()
                if counted[kind][name] > most + ROOM
            }
            if not more:
                break
    assert not more
    assert all(count > 0 for counts in counted.values() for count in counts.values()), "what is counted moved"
