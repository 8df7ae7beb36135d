"""Observers get every event afterwards, and delay nobody."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from clawdbot_plugin_sdk import Context, Plugin, Subject
from structlog.testing import capture_logs

from tests.support.plugin_core import core_of

CALLER = contextvars.ContextVar("caller", default="nobody")


class Listener:
    """A plugin with one observe hook that can be blocked."""

    def __init__(self, **options):
        self.plugin = Plugin("listener", version="1.0.0")
        self.received, self.missed, self.callers = [], [], []
        self.started, self.released = asyncio.Event(), asyncio.Event()
        self.released.set()

        @self.plugin.observe("turn_done", **{"max_in_flight": 1, **options})
        async def observe(subject, ctx):
            self.started.set()
            await self.released.wait()
            self.received.append(subject.turn_id)
            self.missed.append(ctx.missed)
            self.callers.append(CALLER.get())
            if subject.turn_id == "bad":
                raise RuntimeError("broken")


def event(turn_id):
    return Subject("turn_done", turn_id=turn_id)


async def test_every_observer_of_the_point_gets_the_events_in_order(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        for turn in "abc":
            assert core.observers.notify(event(turn), Context()) == 0
        core.observers.notify(Subject("session_ended"), Context())
    assert listener.received == ["a", "b", "c"]


async def test_notify_does_not_wait_and_a_full_queue_drops_and_counts(tmp_path):
    listener = Listener()
    listener.released.clear()
    async with core_of(tmp_path, listener.plugin, queue_size=2) as core:
        core.observers.notify(event("a"), Context())
        await listener.started.wait()
        with capture_logs() as logs:
            dropped = [core.observers.notify(event(turn), Context()) for turn in "bcdefg"]
        assert dropped == [0, 0, 1, 1, 1, 1]
        assert core.observers.dropped == 4
        assert [line["total"] for line in logs] == [1, 2, 4]
        listener.released.set()
    assert listener.received == ["a", "b", "c"]
    assert listener.missed == [0, 4, 0]


async def test_an_observer_that_fails_is_logged_and_gets_the_next_event(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        with capture_logs() as logs:
            for turn in ("bad", "good"):
                core.observers.notify(event(turn), Context())
            await core.observers.stop()
    assert listener.received == ["bad", "good"]
    assert [line["event"] for line in logs] == ["hook_failed"]


async def test_an_observer_that_times_out_is_cancelled_and_gets_the_next_event(tmp_path):
    listener = Listener(timeout="30ms")
    listener.released.clear()
    async with core_of(tmp_path, listener.plugin) as core:
        with capture_logs() as logs:
            core.observers.notify(event("a"), Context())
            core.observers.notify(event("b"), Context())
            await core.observers.stop()
    assert [line["reason"] for line in logs] == ["TaskTimedOut", "TaskTimedOut"]


async def test_observers_do_not_inherit_the_callers_context(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        CALLER.set("the first caller")
        core.observers.notify(event("a"), Context())
        await core.observers.stop()
    assert listener.callers == ["nobody"]


async def test_after_stop_no_event_is_delivered(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        await core.observers.stop()
        assert core.observers.notify(event("late"), Context()) == 0
    assert listener.received == []


@pytest.mark.parametrize("max_in_flight", [1, 3])
async def test_an_observer_gets_max_in_flight_events_concurrently(tmp_path, max_in_flight):
    listener = Listener(max_in_flight=max_in_flight)
    listener.released.clear()
    running = 0
    async with core_of(tmp_path, listener.plugin) as core:
        for turn in "abcdef":
            core.observers.notify(event(turn), Context())
        await listener.started.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        running = core.task_runner._in_flight["listener observe turn_done"]
        listener.released.set()
    assert running == max_in_flight
    assert sorted(listener.received) == [*"abcdef"]
