"""Gate and modify hooks: their order, and what a failure means."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugin_sdk import Context, Plugin, Refusal, Subject
from clawdbot_plugins.core.errors import HookFailed
from structlog.testing import capture_logs

from tests.support.plugin_core import core_of

NO = Refusal("NO", "No.")


def gates(*behaviours, **options):
    """A plugin with one gate for each behaviour, in this order, and the list of gates that ran."""
    plugin = Plugin("guard", version="1.0.0")
    called = []
    for number, behaviour in enumerate(behaviours):

        async def gate(subject, ctx, number=number, behaviour=behaviour):
            called.append(number)
            return await behaviour() if callable(behaviour) else behaviour

        plugin.gate("before_turn", priority=number, timeout="50ms", **options)(gate)
    return plugin, called


async def fails():
    raise RuntimeError("broken")


async def hangs():
    await asyncio.Event().wait()


async def gated(tmp_path, plugin):
    async with core_of(tmp_path, plugin) as core:
        with capture_logs() as logs:
            refused = await core.gate("before_turn", session_id="s-1")
    return refused, logs


async def test_without_hooks_everything_is_allowed(tmp_path):
    async with core_of(tmp_path) as core:
        assert await core.gate("before_turn") is None
        modified = await core.hooks.modify(Subject("before_turn"), {"a": 1}, Context())
    assert (modified.payload, modified.modified_by) == ({"a": 1}, ())


async def test_it_is_allowed_if_every_gate_allows_it(tmp_path):
    plugin, called = gates(None, None)
    assert (await gated(tmp_path, plugin))[0] is None
    assert called == [0, 1]


async def test_no_gate_runs_after_the_first_refusal(tmp_path):
    plugin, called = gates(None, NO, None)
    refused, _ = await gated(tmp_path, plugin)
    assert (refused.plugin, refused.refusal) == ("guard", NO)
    assert called == [0, 1]


@pytest.mark.parametrize(
    "behaviour",
    [
        fails,
        hangs,
        False,
        "no",
        Refusal("no", "Not UPPER_SNAKE."),
        Refusal("NO", ""),
        Refusal("NO", "No.", retry_after=float("nan")),
        Refusal("NO", "No.", retry_after=-1),
        Refusal("NO", "No.", retry_after=1e12),
    ],
)
async def test_a_gate_that_fails_times_out_or_returns_nonsense_allows_nothing_for_now(tmp_path, behaviour):
    plugin, called = gates(behaviour, None)
    async with core_of(tmp_path, plugin) as core:
        with capture_logs() as logs, pytest.raises(HookFailed, match="guard failed at before_turn"):
            await core.gate("before_turn")
    assert called == [0]
    assert logs[0]["event"] == "hook_failed"
    assert logs[0]["fails_closed"] is True


@pytest.mark.parametrize("behaviour", [fails, hangs, "no"])
async def test_a_failed_gate_that_fails_open_is_ignored(tmp_path, behaviour):
    plugin, called = gates(behaviour, NO, on_failure="open")
    refused, logs = await gated(tmp_path, plugin)
    assert refused.refusal is NO
    assert called == [0, 1]
    assert logs[0]["fails_closed"] is False


async def test_a_gate_that_times_out_is_cancelled(tmp_path):
    ended = []

    async def blocks():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(HookFailed):
        await gated(tmp_path, gates(blocks)[0])
    assert ended == [True]


async def test_a_gate_over_its_concurrency_limit_has_failed(tmp_path):
    released, started = asyncio.Event(), asyncio.Event()

    async def blocks():
        started.set()
        await released.wait()

    plugin = Plugin("guard", version="1.0.0")

    @plugin.gate("before_turn", max_in_flight=1)
    async def gate(subject, ctx):
        await blocks()

    async with core_of(tmp_path, plugin) as core:
        first = asyncio.create_task(core.gate("before_turn"))
        await started.wait()
        with pytest.raises(HookFailed):
            await core.gate("before_turn")
        released.set()
        assert await first is None


def changers(*changes, **options):
    """A plugin with one modify hook for each change, in this order."""
    plugin = Plugin("editor", version="1.0.0")
    for number, change in enumerate(changes):

        async def modify(payload, subject, ctx, change=change):
            changed = change(payload)
            return await changed if asyncio.iscoroutine(changed) else changed

        plugin.modify("before_generate", priority=number, timeout="50ms", **options)(modify)
    return plugin


def append(letter):
    return lambda payload: {**payload, "text": payload["text"] + letter}


async def modified(tmp_path, plugin, payload=None, check=None):
    async with core_of(tmp_path, plugin) as core:
        return await core.hooks.modify(Subject("before_generate"), payload or {"text": ""}, Context(), check)


async def test_modify_hooks_build_on_each_other_in_order(tmp_path):
    result = await modified(tmp_path, changers(append("a"), lambda _: None, append("b")))
    assert result.payload == {"text": "ab"}
    assert result.modified_by == ("editor", "editor")


def change_and_fail(payload):
    payload["text"] = "changed"
    raise RuntimeError("broken")


async def never_returns(payload):
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "change",
    [
        change_and_fail,
        never_returns,
        lambda _: "text",
        lambda _: {"x": float("nan")},
        lambda _: {"x": object()},
        lambda _: {1: 2},
    ],
)
async def test_a_modify_hook_that_fails_is_skipped_and_its_changes_are_discarded(tmp_path, change):
    result = await modified(tmp_path, changers(append("a"), change, append("b")))
    assert result.payload == {"text": "ab"}


async def test_an_invalid_change_is_discarded(tmp_path):
    def check(payload):
        if "no" in payload["text"]:
            raise ValueError("not that")

    result = await modified(tmp_path, changers(append("no"), append("b")), check=check)
    assert result.payload == {"text": "b"}


async def test_a_modify_hook_that_fails_closed_raises(tmp_path):
    with pytest.raises(HookFailed) as caught:
        await modified(tmp_path, changers(change_and_fail, on_failure="closed"))
    assert (caught.value.plugin, caught.value.point) == ("editor", "before_generate")


async def test_the_callers_payload_is_not_changed(tmp_path):
    payload = {"text": "", "deep": {"list": [1]}}

    def change_nested(payload):
        payload["deep"]["list"].append(2)
        return payload

    result = await modified(tmp_path, changers(change_nested), payload)
    assert result.payload["deep"] == {"list": [1, 2]}
    assert payload["deep"] == {"list": [1]}
