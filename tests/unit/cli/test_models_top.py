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
from clawdbot_cli.models.top import HEADS, Look, Top, top_table
from clawdbot_servicekit.errors import RemoteError
from rich.console import Console


def backend(name="a", **fields):
    return Backend(name=name, **{"models": ["m"], **fields})


def queues(interactive=0, standard=0, batch=0):
    lengths = {PRIORITY_INTERACTIVE: interactive, PRIORITY_STANDARD: standard, PRIORITY_BATCH: batch}
    return [QueueLength(priority=each, requests=number) for each, number in lengths.items()]


def shown(now, *before, seconds=2.0, spent=None):
    """Each backend's cells by the heads of their columns."""
    table = top_table(Look(10.0 + seconds, now, spent), Look(10.0, before))
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
