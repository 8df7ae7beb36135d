"""The table of `clawdbot models top`, from two looks at the backends."""

from __future__ import annotations

import io

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_BATCH,
    PRIORITY_INTERACTIVE,
    PRIORITY_STANDARD,
)
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend, QueueLength
from clawdbot_cli.models.top import HEADS, Look, Top, top_table
from rich.console import Console


def backend(name="a", **fields):
    return Backend(name=name, **{"models": ["m"], **fields})


def queues(interactive=0, standard=0, batch=0):
    lengths = {PRIORITY_INTERACTIVE: interactive, PRIORITY_STANDARD: standard, PRIORITY_BATCH: batch}
    return [QueueLength(priority=each, requests=number) for each, number in lengths.items()]


def shown(now, *before, seconds=2.0):
    """Each backend's cells by the heads of their columns."""
    table = top_table(Look(10.0 + seconds, now), Look(10.0, before))
    columns = [list(each.cells) for each in table.columns]
    return [dict(zip(HEADS, row, strict=True)) for row in zip(*columns, strict=True)]


def test_rates_are_the_difference_of_two_looks():
    before = backend(requests=10, input_tokens=1000, output_tokens=50)
    (row,) = shown([backend(requests=13, input_tokens=5000, output_tokens=51)], before)
    assert (row["req/s"], row["in tok/s"], row["out tok/s"]) == ("1.5", "2,000.0", "0.5")


def test_requests_that_wait_are_not_in_flight():
    (row,) = shown([backend(requests_in_flight=9, max_concurrency=4, queues=queues(3, 0, 2))])
    assert (row["in flight"], row["queue"]) == ("4/4", "3i 2b")


def test_an_idle_backend_has_no_queue_and_no_rates():
    (row,) = shown([backend(queues=queues())])
    assert (row["queue"], row["req/s"], row["cost"], row["in flight"]) == ("–", "0.0", "–", "0")


@pytest.mark.parametrize(
    ("fields", "state"),
    [({}, "ok"), ({"draining": True}, "draining"), ({"models": []}, "no models")],
)
def test_the_state_is_a_word(fields, state):
    assert shown([backend(**fields)])[0]["state"] == state


def test_counters_that_start_again_are_not_negative():
    (row,) = shown([backend(requests=2)], backend(requests=900))
    assert row["req/s"] == "0.0"


def test_a_backend_that_is_new_has_no_rates_yet():
    rows = shown([backend(), backend("b", requests=500)], backend())
    assert [each["req/s"] for each in rows] == ["0.0", "0.0"]


def test_totals_and_connections_are_shown_as_they_are():
    fields = {"open_connections": 7, "idle_connections": 5, "errors": 1200, "cache_hits": 3}
    (row,) = shown([backend(**fields, cost_micros=12_345_678)])
    cells = [row[each] for each in ("conns", "idle", "errors", "cached", "cost")]
    assert cells == ["7", "5", "1,200", "3", "12.35"]


def test_names_cannot_control_the_terminal():
    (row,) = shown([backend("a\x1b[2J")])
    assert "\x1b" not in row["backend"]


class Client:
    def __init__(self, *looks):
        self.looks = list(looks)

    async def list_backends(self):
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


@pytest.mark.parametrize("once", [True, False])
async def test_without_a_terminal_one_look_is_printed_as_plain_text(once):
    out = io.StringIO()
    client = Client([backend(requests=1)], [backend(requests=5)])
    await Top(client, Console(file=out, width=200), 0.01).run(once=once)
    lines = out.getvalue().splitlines()
    assert lines[0].split("  ")[0] == "backend"
    assert lines[1].startswith("a")
    assert "\x1b" not in out.getvalue()
    assert len(lines) == 2
