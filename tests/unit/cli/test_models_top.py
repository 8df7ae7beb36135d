"""The table of `clawdbot models top`, from two looks at the backends."""

from __future__ import annotations

import io
import re

import pytest
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_BATCH,
    PRIORITY_INTERACTIVE,
    PRIORITY_STANDARD,
)
from clawdbot.model_gateway.v1.model_admin_service_pb2 import (
    BREAKER_STATE_CLOSED,
    BREAKER_STATE_HALF_OPEN,
    BREAKER_STATE_OPEN,
    Backend,
    QueueLength,
    UsageRecord,
)
from clawdbot_cli.models.top import Top
from clawdbot_cli.models.top_view import Look, top_view
from clawdbot_servicekit.errors import RemoteError
from rich.console import Console


def backend(name="a", **fields):
    return Backend(name=name, **{"models": ["m"], **fields})


def queues(interactive=0, standard=0, batch=0):
    lengths = {PRIORITY_INTERACTIVE: interactive, PRIORITY_STANDARD: standard, PRIORITY_BATCH: batch}
    return [QueueLength(priority=each, requests=number) for each, number in lengths.items()]


def lines(now, *before, width=500, height=None, seconds=2.0, spent=None):
    """The lines of the view, each as its cells."""
    out = io.StringIO()
    view = top_view(Look(10.0 + seconds, now, spent), Look(10.0, before), width, height)
    Console(file=out, width=width).print(view)
    written = out.getvalue().splitlines()
    assert max(map(len, written)) <= width
    return [re.split(r"  +", each.strip()) for each in written]


def shown(now, *before, seconds=2.0, spent=None):
    """Each backend's cells by the heads of their columns."""
    heads, *rows = lines(now, *before, seconds=seconds, spent=spent)
    return [dict(zip(heads, row, strict=True)) for row in rows]


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
    [
        ({}, "ok"),
        ({"draining": True}, "draining"),
        ({"models": []}, "no models"),
        ({"breaker": BREAKER_STATE_CLOSED}, "ok"),
        ({"breaker": BREAKER_STATE_OPEN}, "breaker open"),
        ({"breaker": BREAKER_STATE_HALF_OPEN}, "breaker half-open"),
        ({"breaker": BREAKER_STATE_OPEN, "models": []}, "breaker open"),
        ({"breaker": BREAKER_STATE_OPEN, "draining": True}, "draining"),
    ],
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


def test_what_was_spent_today_is_shown_by_backend():
    rows = shown([backend(), backend("b")], spent={"a": 1_234_560_000, "gone": 7})
    assert [each["today"] for each in rows] == ["1,234.56", "–"]


def test_what_was_spent_is_unknown_to_a_caller_that_may_not_ask():
    (row,) = shown([backend(cost_micros=500_000)], spent=None)
    assert (row["cost"], row["today"]) == ("0.50", "–")


def test_names_cannot_control_the_terminal():
    (row,) = shown([backend("a\x1b[2J")])
    assert "\x1b" not in row["backend"]


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (60, ["backend", "state", "in flight", "queue", "req/s", "errors", "today"]),
        (25, ["backend", "state", "in flight"]),
        (24, ["backend", "state"]),
        (10, ["backend"]),
    ],
)
def test_a_narrow_terminal_does_without_the_less_important_columns(width, heads):
    head, row = lines([backend()], width=width)
    assert (head, len(row)) == (heads, len(heads))


def test_a_low_terminal_shows_the_backends_in_trouble_and_those_with_the_most_to_do():
    backends = [backend(f"b{number}", requests_in_flight=number) for number in range(10)]
    backends[2].breaker = BREAKER_STATE_OPEN
    head, *rows, rest = lines(backends, width=60, height=5)
    assert (head[0], [each[0] for each in rows]) == ("backend", ["b2", "b8", "b9"])
    assert rest == ["… and 7 more backends with less to do"]


def test_names_may_be_markup_or_wide():
    rows = lines([backend("[red]a"), backend("数据" * 3)], width=40)[1:]
    assert [each[0] for each in rows] == ["[red]a", "数据" * 3]


class Client:
    def __init__(self, *looks, usage=()):
        self.looks = list(looks)
        self.records = usage
        self.questions = 0

    async def list_backends(self):
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    async def usage(self, request):
        self.questions += 1
        if isinstance(self.records, RemoteError):
            raise self.records
        return self.records


async def top_once(client):
    """The cells of the only backend, by the heads of their columns."""
    out = io.StringIO()
    await Top(client, Console(file=out, width=200), 0.01).run(once=True)
    head, row = (re.split(r"  +", each.strip()) for each in out.getvalue().splitlines())
    return dict(zip(head, row, strict=True))


def used(model, cost):
    return UsageRecord(model=model, usage=Usage(cost_micros=cost))


async def test_the_models_of_a_backend_are_added_up():
    records = [used("a/m", 1_000_000), used("a/n/x", 500_000), used("b/m", 9_000_000), used("", 1)]
    client = Client([backend()], usage=records)
    assert (await top_once(client))["today"] == "1.50"
    assert client.questions == 1


@pytest.mark.parametrize(
    ("code", "reason"), [("PERMISSION_DENIED", "SCOPE_MISSING"), ("UNAVAILABLE", "USAGE_UNAVAILABLE")]
)
async def test_the_view_goes_on_without_what_was_spent(code, reason):
    error = RemoteError(code=code, message="no", reason=reason, domain="clawdbot.dev")
    row = await top_once(Client([backend()], usage=error))
    assert (row["state"], row["today"]) == ("ok", "–")


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
