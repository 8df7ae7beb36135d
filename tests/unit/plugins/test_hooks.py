"""Gates and modify hooks: in which order, and what a failure means."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugin_sdk import Context, Plugin, Refusal, Subject
from clawdbot_plugins.core.errors import HookFailed
from structlog.testing import capture_logs

from tests.support.plugin_core import core_of

NO = Refusal("NO", "No.")


def gates(*behaviours, **options):
    """A plugin with one gate for each behaviour, asked in this order."""
    plugin = Plugin("guard", version="1.0.0")
    asked = []
    for number, behaviour in enumerate(behaviours):

        async def gate(subject, ctx, number=number, behaviour=behaviour):
            asked.append(number)
            return await behaviour() if callable(behaviour) else behaviour

        plugin.gate("before_turn", priority=number, timeout="50ms", **options)(gate)
    return plugin, asked


async def fails():
    raise RuntimeError("broken")


async def hangs():
    await asyncio.Event().wait()


async def gated(tmp_path, plugin):
    async with core_of(tmp_path, plugin) as core:
        with capture_logs() as logs:
            refused = await core.gate("before_turn", session_id="s-1")
    return refused, logs


async def test_without_hooks_everything_may_happen(tmp_path):
    async with core_of(tmp_path) as core:
        assert await core.gate("before_turn") is None
        modified = await core.hooks.modify(Subject("before_turn"), {"a": 1}, Context())
    assert (modified.payload, modified.by) == ({"a": 1}, ())


async def test_when_every_gate_agrees_it_may_happen(tmp_path):
    plugin, asked = gates(None, None)
    assert (await gated(tmp_path, plugin))[0] is None
    assert asked == [0, 1]


async def test_the_first_no_ends_it(tmp_path):
    plugin, asked = gates(None, NO, None)
    refused, _ = await gated(tmp_path, plugin)
    assert (refused.plugin, refused.refusal) == ("guard", NO)
    assert asked == [0, 1]


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
async def test_a_gate_that_fails_is_late_or_answers_nonsense_has_said_no(tmp_path, behaviour):
    plugin, asked = gates(behaviour, None)
    refused, logs = await gated(tmp_path, plugin)
    assert refused.refusal.reason == "HOOK_FAILED"
    assert refused.refusal.message == "The check by guard failed, so that this was not allowed."
    assert asked == [0]
    assert logs[0]["event"] == "hook_failed"
    assert logs[0]["closed"] is True


@pytest.mark.parametrize("behaviour", [fails, hangs, "no"])
async def test_a_gate_that_fails_open_is_as_if_it_were_not_there(tmp_path, behaviour):
    plugin, asked = gates(behaviour, NO, on_failure="open")
    refused, logs = await gated(tmp_path, plugin)
    assert refused.refusal is NO
    assert asked == [0, 1]
    assert logs[0]["closed"] is False


async def test_a_late_gate_is_cancelled(tmp_path):
    ended = []

    async def stays():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    await gated(tmp_path, gates(stays)[0])
    assert ended == [True]


async def test_a_gate_that_is_asked_too_much_at_once_has_failed(tmp_path):
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def stays():
        begun.set()
        await let_go.wait()

    plugin = Plugin("guard", version="1.0.0")

    @plugin.gate("before_turn", max_in_flight=1)
    async def gate(subject, ctx):
        await stays()

    async with core_of(tmp_path, plugin) as core:
        first = asyncio.create_task(core.gate("before_turn"))
        await begun.wait()
        assert (await core.gate("before_turn")).refusal.reason == "HOOK_FAILED"
        let_go.set()
        assert await first is None


def changers(*changes, **options):
    """A plugin with one modify hook for each change, in this order."""
    plugin = Plugin("editor", version="1.0.0")
    for number, change in enumerate(changes):

        async def modify(payload, subject, ctx, change=change):
            answer = change(payload)
            return await answer if asyncio.iscoroutine(answer) else answer

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
    assert result.by == ("editor", "editor")


def spoil(payload):
    payload["text"] = "spoilt"
    raise RuntimeError("broken")


async def late(payload):
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "change",
    [
        spoil,
        late,
        lambda _: "text",
        lambda _: {"x": float("nan")},
        lambda _: {"x": object()},
        lambda _: {1: 2},
    ],
)
async def test_a_modify_hook_that_fails_is_skipped_and_what_it_did_undone(tmp_path, change):
    result = await modified(tmp_path, changers(append("a"), change, append("b")))
    assert result.payload == {"text": "ab"}


async def test_a_change_that_is_not_valid_is_skipped(tmp_path):
    def check(payload):
        if "no" in payload["text"]:
            raise ValueError("not that")

    result = await modified(tmp_path, changers(append("no"), append("b")), check=check)
    assert result.payload == {"text": "b"}


async def test_a_modify_hook_that_must_not_fail_refuses(tmp_path):
    with pytest.raises(HookFailed) as caught:
        await modified(tmp_path, changers(spoil, on_failure="closed"))
    assert (caught.value.plugin, caught.value.point) == ("editor", "before_generate")


async def test_what_the_caller_gave_stays_as_it_was(tmp_path):
    given = {"text": "", "deep": {"list": [1]}}

    def dig(payload):
        payload["deep"]["list"].append(2)
        return payload

    result = await modified(tmp_path, changers(dig), given)
    assert result.payload["deep"] == {"list": [1, 2]}
    assert given["deep"] == {"list": [1]}
