"""The lifecycle of a tool call."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated

import pytest
from clawdbot_plugin_sdk import Context, Partial, Plugin, Progress, Refusal, ToolError
from clawdbot_plugins.core.errors import (
    HookFailed,
    PluginNotFound,
    ToolBusy,
    ToolLimited,
    ToolNotFound,
    ToolRefused,
    ToolTimedOut,
)
from clawdbot_plugins.core.invocation import MAX_MESSAGE_LENGTH, ToolCall
from clawdbot_servicekit.errors import InvalidRequest
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

from tests.support.plugin_core import core_of


class Sum(BaseModel):
    total: int


class Trial:
    """A plugin with a tool for each way in which a call can end, and the events that its observer got."""

    def __init__(self):  # noqa: C901 - a list of tools
        self.plugin = plugin = Plugin("trial", version="1.0.0")
        self.started = asyncio.Event()
        self.cancelled = 0
        self.runs = 0
        self.observed = []

        @plugin.tool()
        async def add(left: int, right: Annotated[int, Field(ge=0)] = 1) -> Sum:
            """Add two numbers."""
            self.runs += 1
            return Sum(total=left + right)

        @plugin.tool()
        async def emit(ctx: Context, words: list[str]) -> str:
            """Emit the words one by one."""
            for number, word in enumerate(words, 1):
                await ctx.progress(number / len(words), word)
                await ctx.partial(word)
            return " ".join(words)

        @plugin.tool()
        async def fail(sentence: str) -> None:
            """Raise a ToolError."""
            raise ToolError(sentence)

        @plugin.tool()
        async def crash(secret: str) -> None:
            """Raise another exception."""
            raise RuntimeError(f"could not use {secret}")

        @plugin.tool()
        async def mistyped() -> Sum:
            """Return something that does not match."""
            return {"total": "many"}

        @plugin.tool()
        async def big(size: int) -> str:
            """Return a large text."""
            return "x" * size

        @plugin.tool()
        async def unsendable(what: str) -> dict[str, object]:
            """Return a value that no message can carry."""
            nested: dict[str, object] = {"deep": 1}
            for _ in range(40):
                nested = {"deep": nested}
            return {"huge": {"n": 10**400}, "deep": nested, "surrogate": {"s": "\ud800"}}[what]

        @plugin.tool(timeout="50ms", max_in_flight=1)
        async def hang() -> None:
            """Never end."""
            await self._hang()

        @plugin.tool(timeout="10s", max_in_flight=1)
        async def wait() -> None:
            """Never end, for longer."""
            await self._hang()

        @plugin.observe("tool_done", max_in_flight=1)
        async def observe(subject, ctx):
            self.observed.append(subject)

    async def _hang(self):
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled += 1


@pytest.fixture
def trial():
    return Trial()


@pytest.fixture
async def core(trial, tmp_path):
    async with core_of(tmp_path, trial.plugin, max_result=2000) as core:
        yield core


async def facts(core, trial):
    """Returns what the observer got about the only call."""
    await core.observers.stop()
    (subject,) = trial.observed
    assert subject.point == "tool_done"
    assert subject.facts["seconds"] >= 0
    return subject


async def test_a_result_is_text_for_the_model_and_data_for_the_flow(core, trial):
    outcome = await core.outcome("trial.add", left=2, right=3)
    assert (outcome.text, outcome.structured) == ('{"total":5}', {"total": 5})
    assert not outcome.is_error
    subject = await facts(core, trial)
    assert subject.tool == "trial.add"
    assert subject.facts["outcome"] == "ok"


async def test_progress_and_partial_output_come_before_the_result(core):
    *events, outcome = await core.events("trial.emit", words=["a", "b"])
    assert events == [Progress(0.5, "a"), Partial("a"), Progress(1.0, "b"), Partial("b")]
    assert outcome.text == "a b"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "arguments.left"),
        ({"left": "two"}, "arguments.left"),
        ({"left": 2, "right": -1}, "arguments.right"),
        ({"left": 2, "rihgt": 1}, "arguments.rihgt"),
        ({"left": 2.5}, "arguments.left"),
    ],
)
async def test_invalid_arguments_are_refused_before_anything_runs(core, trial, arguments, field):
    with pytest.raises(InvalidRequest) as caught:
        await core.outcome("trial.add", **arguments)
    assert [each.field for each in caught.value.violations] == [field]
    assert trial.runs == 0


async def test_an_unknown_tool_or_plugin_is_not_found(core):
    with pytest.raises(ToolNotFound):
        await core.outcome("trial.ad")
    with pytest.raises(PluginNotFound):
        await core.outcome("trail.add")


async def test_a_tool_error_is_a_result_for_the_model(core, trial):
    outcome = await core.outcome("trial.fail", sentence="The till is on fire.")
    assert outcome.is_error
    assert (outcome.text, outcome.structured) == ("The till is on fire.", None)
    assert (await facts(core, trial)).facts["outcome"] == "error"


@pytest.mark.parametrize(
    ("sentence", "expected"), [("x" * 100_000, "x" * MAX_MESSAGE_LENGTH), ("a\ud800", "a?")]
)
async def test_the_text_of_a_tool_error_is_truncated_and_can_be_sent(core, sentence, expected):
    assert (await core.outcome("trial.fail", sentence=sentence)).text == expected


async def test_the_model_gets_only_a_reference_for_any_other_exception(core):
    with capture_logs() as logs:
        outcome = await core.outcome("trial.crash", secret="hunter2")
    assert outcome.is_error
    (line,) = logs
    assert line["error"] == "RuntimeError"
    assert "raise RuntimeError" in line["trace"]
    assert "hunter2" not in repr(line)
    assert outcome.text == f"The tool trial.crash failed (reference {line['reference']})."


async def test_a_result_that_does_not_match_the_return_type_is_an_error_result(core):
    with capture_logs() as logs:
        outcome = await core.outcome("trial.mistyped")
    assert outcome.is_error
    assert logs[0]["event"] == "tool_failed"


async def test_a_result_that_is_too_large_is_an_error_result_that_says_so(core):
    assert not (await core.outcome("trial.big", size=500)).is_error
    outcome = await core.outcome("trial.big", size=3000)
    assert outcome.is_error
    assert "too large" in outcome.text


async def test_partial_output_that_is_too_large_ends_the_tool(core):
    *events, outcome = await core.events("trial.emit", words=["x" * 300] * 20)
    assert sum(len(each.text) for each in events if isinstance(each, Partial)) <= 2000
    assert outcome.is_error
    assert "partial output is too large" in outcome.text


async def test_empty_partial_output_is_not_emitted(core):
    events = await core.events("trial.emit", words=[""] * 100)
    assert not [each for each in events if isinstance(each, Partial)]


@pytest.mark.parametrize("what", ["huge", "deep", "surrogate"])
async def test_a_result_that_no_message_can_carry_is_an_error_result(core, what):
    assert (await core.outcome("trial.unsendable", what=what)).is_error


async def test_a_tool_that_exceeds_its_timeout_is_cancelled(core, trial):
    with pytest.raises(ToolTimedOut, match=r"0\.05"):
        await core.outcome("trial.hang")
    assert trial.cancelled == 1
    assert (await facts(core, trial)).facts["outcome"] == "ToolTimedOut"


async def test_a_caller_that_leaves_cancels_the_tool_and_frees_its_slot(core, trial):
    for _ in range(2):
        trial.started.clear()
        call = asyncio.create_task(core.outcome("trial.wait"))
        await trial.started.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert trial.cancelled == 2


async def test_leaving_between_two_events_cancels_the_tool(core, trial):
    async with aclosing(
        core.invoker.invoke(ToolCall("trial.emit", {"words": ["a"] * 50}, Context()))
    ) as events:
        await anext(events)
    assert (await facts(core, trial)).facts["outcome"] == "cancelled"


async def test_calls_over_the_concurrency_limit_are_refused_as_busy(core, trial):
    first = asyncio.create_task(core.outcome("trial.wait"))
    await trial.started.wait()
    with pytest.raises(ToolBusy):
        await core.outcome("trial.wait")
    first.cancel()
    await asyncio.wait((first,))


class Guard:
    """A gate and a modify hook before a tool runs, which a test controls."""

    def __init__(self):
        self.plugin = Plugin("guard", version="1.0.0")
        self.refusal = None
        self.change = None
        self.gated = []

        @self.plugin.gate("before_tool")
        async def gate(subject, ctx):
            self.gated.append(subject)
            return self.refusal

        @self.plugin.modify("before_tool", on_failure="closed")
        async def modify(payload, subject, ctx):
            return self.change(payload) if self.change else None


@pytest.fixture
def guard():
    return Guard()


@pytest.fixture
async def guarded(trial, guard, tmp_path):
    async with core_of(tmp_path, trial.plugin, guard.plugin) as core:
        yield core


async def test_a_gate_gets_the_tools_name_and_never_the_arguments(guarded, guard):
    await guarded.outcome("trial.add", left=12345)
    (subject,) = guard.gated
    assert subject.tool == "trial.add"
    assert "12345" not in repr(subject)


async def test_a_gate_that_refuses_keeps_the_tool_from_running(guarded, guard, trial):
    guard.refusal = Refusal("NOT_TODAY", "Not today.")
    with pytest.raises(ToolRefused) as caught:
        await guarded.outcome("trial.add", left=1)
    assert (caught.value.plugin, caught.value.reason, caught.value.message) == (
        "guard",
        "NOT_TODAY",
        "Not today.",
    )
    assert not isinstance(caught.value, ToolLimited)
    assert trial.runs == 0


async def test_a_refusal_with_retry_after_is_temporary(guarded, guard):
    guard.refusal = Refusal("SLOW_DOWN", "Slowly.", retry_after=2.5)
    with pytest.raises(ToolLimited) as caught:
        await guarded.outcome("trial.add", left=1)
    assert caught.value.retry_after == 2.5


async def test_a_modify_hook_changes_the_arguments(guarded, guard):
    guard.change = lambda payload: {**payload, "right": 100}
    assert (await guarded.outcome("trial.add", left=1)).structured == {"total": 101}


async def test_changed_arguments_must_be_valid(guarded, guard, trial):
    guard.change = lambda payload: {"left": "none"}
    with pytest.raises(HookFailed):
        await guarded.outcome("trial.add", left=1)
    assert trial.runs == 0
