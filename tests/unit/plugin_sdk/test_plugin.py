"""What a plugin holds, and which mistakes in its definition raise."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugin_sdk import POINTS, Context, LifespanContext, Plugin
from clawdbot_plugin_sdk.validation import seconds
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel


@pytest.mark.parametrize("name", ["", "Tables", "1st", "with-dash", "a" * 41, "ünder", "a.b", None, 7])
def test_an_invalid_name_is_refused(name):
    with pytest.raises(TypeError, match="cannot be the name of a plugin"):
        Plugin(name, version="1.0.0")


@pytest.mark.parametrize("version", ["", "1", "v1.0", "1.0.0.0", "one", None])
def test_an_invalid_version_is_refused(version):
    with pytest.raises(TypeError, match=r"is not a version \(example: 1\.2\.0\)"):
        Plugin("trial", version)


@pytest.mark.parametrize("version", ["1.0", "1.2.3", "1.2.3-rc.1", "2026.11.25", "1.0.0+build"])
def test_a_valid_version_is_accepted(version):
    assert Plugin("trial", version).version == version


def test_every_setting_needs_a_default():
    """So that a plugin can be enabled by its name alone."""

    class RequiredKey(BaseModel):
        key: str
        depth: int = 1

    with pytest.raises(TypeError, match="need a default for each field; missing: key"):
        Plugin("trial", "1.0.0", settings=RequiredKey)
    with pytest.raises(TypeError, match="pydantic model class"):
        Plugin("trial", "1.0.0", settings=dict)


def test_definitions_cannot_be_changed_from_outside():
    plugin = Plugin("trial", "1.0.0")
    with pytest.raises(TypeError):
        plugin.tools["x"] = None
    assert plugin.hooks == ()


async def test_the_lifespan_yields_the_state_and_ends():
    plugin, steps = Plugin("trial", "1.0.0"), []

    @plugin.lifespan
    async def lifespan(ctx: LifespanContext):
        steps.append("started")
        yield ctx.workers
        steps.append("ended")

    async with plugin.open(LifespanContext(workers=3)) as state:
        assert state == 3
        assert steps == ["started"]
    assert steps == ["started", "ended"]


async def test_a_plugin_without_a_lifespan_has_no_state():
    async with Plugin("trial", "1.0.0").open(LifespanContext()) as state:
        assert state is None


def test_a_lifespan_needs_a_yield_and_a_plugin_has_one_lifespan():
    plugin = Plugin("trial", "1.0.0")

    async def no_yield(ctx):
        pass

    async def lifespan(ctx):
        yield

    with pytest.raises(TypeError, match="one `yield`"):
        plugin.lifespan(no_yield)
    plugin.lifespan(lifespan)
    with pytest.raises(TypeError, match="two lifespans"):
        plugin.lifespan(lifespan)


async def gate(subject, ctx):
    pass


async def modify(payload, subject, ctx):
    pass


async def observe(subject, ctx):
    pass


FUNCTIONS = {"gate": gate, "modify": modify, "observe": observe}


@pytest.mark.parametrize("point", POINTS)
def test_before_points_take_gate_and_modify_and_the_others_modify_and_observe(point):
    plugin = Plugin("trial", "1.0.0")
    kinds = set()
    for kind, function in FUNCTIONS.items():
        try:
            assert getattr(plugin, kind)(point)(function) is function
        except TypeError:
            continue
        kinds.add(kind)
    expected = {"gate", "modify"} if point.startswith("before_") else {"modify", "observe"}
    assert kinds == expected


def test_hooks_have_the_limits_of_their_kind():
    plugin = Plugin("trial", "1.0.0")
    plugin.gate("before_turn")(gate)
    plugin.modify("before_turn", on_failure="closed", priority=5, timeout=2)(modify)
    plugin.observe("turn_done", max_in_flight=1)(observe)
    limits = [
        (each.kind, each.priority, each.timeout, each.on_failure, each.max_in_flight) for each in plugin.hooks
    ]
    assert limits == [
        ("gate", 100, 1.0, "closed", 1000),
        ("modify", 5, 2.0, "closed", 1000),
        ("observe", 100, 5.0, "open", 1),
    ]


async def two(a, b):
    pass


@pytest.mark.parametrize(
    ("kind", "point", "function", "options", "sentence"),
    [
        ("gate", "before_trun", gate, {}, "did you mean 'before_turn'?"),
        ("gate", "turn_done", gate, {}, "it has already happened by then. Use observe."),
        ("observe", "before_turn", observe, {}, "Use gate or modify."),
        ("gate", "before_turn", lambda subject, ctx: None, {}, "A hook must be a coroutine function"),
        ("gate", "before_turn", modify, {}, "A gate hook takes 2 arguments: async def modify(subject, ctx)"),
        ("modify", "before_turn", two, {}, "takes 3 arguments: async def two(payload, subject, ctx)"),
        ("gate", "before_turn", gate, {"on_failure": "maybe"}, "expected 'closed' or 'open'"),
        ("gate", "before_turn", gate, {"priority": "first"}, "expected an integer"),
        ("gate", "before_turn", gate, {"timeout": "0s"}, "expected a finite duration of more than 0"),
    ],
)
def test_a_mistake_raises_at_the_definition_of_the_hook(kind, point, function, options, sentence):
    with pytest.raises(TypeError) as caught:
        getattr(Plugin("trial", "1.0.0"), kind)(point, **options)(function)
    assert sentence in str(caught.value)


@given(st.integers(1, 10_000), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_durations_are_parsed(number, unit):
    assert seconds("timeout", f"{number}{unit}") == pytest.approx(
        number * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}[unit]
    )


@pytest.mark.parametrize(
    "value", ["", "5", "5 s s", "-5s", "5w", float("inf"), float("nan"), -1, True, None, [5]]
)
def test_an_invalid_duration_is_refused(value):
    with pytest.raises(TypeError, match="timeout="):
        seconds("timeout", value)


async def test_progress_is_from_0_to_1():
    emitted = []

    async def emit(event):
        emitted.append(event)

    context = Context(emit=emit)
    await context.progress(0.5, "half")
    await context.progress()
    await context.partial("words")
    assert [getattr(each, "fraction", "") for each in emitted] == [0.5, None, ""]
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            await context.progress(wrong)
    assert await asyncio.wait_for(Context().progress(1), 30) is None


def test_now_is_in_the_callers_time_zone():
    context = Context(clock=lambda: 0.0, time_zone="Asia/Tokyo")
    assert context.now().isoformat() == "1970-01-01T09:00:00+09:00"
