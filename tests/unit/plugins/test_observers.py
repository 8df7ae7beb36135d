"""Observers hear of what has happened, and hold nothing up."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from clawdbot_plugin_sdk import Context, Plugin, Subject
from structlog.testing import capture_logs

from tests.support.plugin_core import core_of

WHOSE = contextvars.ContextVar("whose", default="nobody")


class Listener:
    """One observe hook that can be held."""

    def __init__(self, **options):
        self.plugin = Plugin("listener", version="1.0.0")
        self.heard, self.missed, self.whose = [], [], []
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

        @self.plugin.observe("turn_done", **{"max_in_flight": 1, **options})
        async def observe(subject, ctx):
            self.begun.set()
            await self.go.wait()
            self.heard.append(subject.turn_id)
            self.missed.append(ctx.missed)
            self.whose.append(WHOSE.get())
            if subject.turn_id == "bad":
                raise RuntimeError("broken")


def event(turn_id):
    return Subject("turn_done", turn_id=turn_id)


async def test_every_observer_of_the_point_is_told_in_order(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        for turn in "abc":
            assert core.observers.tell(event(turn), Context()) == 0
        core.observers.tell(Subject("session_ended"), Context())
    assert listener.heard == ["a", "b", "c"]


async def test_telling_does_not_wait_and_a_full_queue_drops_and_counts(tmp_path):
    listener = Listener()
    listener.go.clear()
    async with core_of(tmp_path, listener.plugin, queue=2) as core:
        core.observers.tell(event("a"), Context())
        await listener.begun.wait()
        with capture_logs() as logs:
            dropped = [core.observers.tell(event(turn), Context()) for turn in "bcdefg"]
        assert dropped == [0, 0, 1, 1, 1, 1]
        assert core.observers.dropped == 4
        assert [line["total"] for line in logs] == [1, 2, 4]
        listener.go.set()
    assert listener.heard == ["a", "b", "c"]
    assert listener.missed == [0, 4, 0]


async def test_an_observer_that_fails_is_logged_and_hears_the_next_event(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        with capture_logs() as logs:
            for turn in ("bad", "good"):
                core.observers.tell(event(turn), Context())
            await core.observers.stop()
    assert listener.heard == ["bad", "good"]
    assert [line["event"] for line in logs] == ["hook_failed"]


async def test_an_observer_that_hangs_is_cancelled_and_hears_the_next_event(tmp_path):
    listener = Listener(timeout="30ms")
    listener.go.clear()
    async with core_of(tmp_path, listener.plugin) as core:
        with capture_logs() as logs:
            core.observers.tell(event("a"), Context())
            core.observers.tell(event("b"), Context())
            await core.observers.stop()
    assert [line["reason"] for line in logs] == ["OutOfTime", "OutOfTime"]


async def test_a_call_that_brings_an_event_has_no_part_in_the_others(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        WHOSE.set("the first caller")
        core.observers.tell(event("a"), Context())
        await core.observers.stop()
    assert listener.whose == ["nobody"]


async def test_a_stopped_service_tells_nobody(tmp_path):
    listener = Listener()
    async with core_of(tmp_path, listener.plugin) as core:
        await core.observers.stop()
        assert core.observers.tell(event("late"), Context()) == 0
    assert listener.heard == []


@pytest.mark.parametrize("at_once", [1, 3])
async def test_so_many_events_are_told_at_once_as_the_hook_wants(tmp_path, at_once):
    listener = Listener(max_in_flight=at_once)
    listener.go.clear()
    running = 0
    async with core_of(tmp_path, listener.plugin) as core:
        for turn in "abcdef":
            core.observers.tell(event(turn), Context())
        await listener.begun.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        running = core.bodies._in_flight["listener observe turn_done"]
        listener.go.set()
    assert running == at_once
    assert sorted(listener.heard) == [*"abcdef"]
