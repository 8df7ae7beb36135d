"""Generated event histories for generated flows, and the conversations that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.flow.tree import ancestors
from clawdbot_dialogue.core.machine.events import (
    Event,
    EventReceived,
    GenerationFailed,
    GenerationFinished,
    Started,
    TimerFired,
    ToolReturned,
    UserSaid,
)
from clawdbot_dialogue.core.machine.snapshot import Frame, Snapshot
from clawdbot_dialogue.core.machine.step import begin, step
from clawdbot_dialogue.core.machine.step_result import StepResult
from hypothesis import HealthCheck, Phase, assume, note, settings
from hypothesis import strategies as st

from tests.support.flows import NOW
from tests.support.random_flows import EVENTS, OTHER, documents, loaded

MAX_STEPS = 12
"""The maximum of microsteps: lower than the default, since many of these flows loop."""
RESULTS = [{"ok": True}, {"ok": False}, None, 7]
PHRASES = [
    "4", "12 people", "99", "red", "blue", "yes", "no", "Ada", "my name is Bob", "no, make it 6",
    "actually blue", "change the name", "start other", "cancel", "help", "hello", "a human please", "purple",
    "", "red, 5 people", "tomorrow at 7pm", "tomorrow", "at 9am", "Ann, Bob and Carol", "without Bob",
    "light, 4", "dark", "light 4 and dark 5", "also Dave", "monday at 5pm and tuesday",
    "that's all", "change the town", "in two hours",
]  # fmt: skip
INPUTS = st.one_of(
    st.tuples(st.just("go on"), st.sampled_from(PHRASES), st.integers(0, 9)),
    st.tuples(st.just("say"), st.sampled_from(PHRASES), st.just(0)),
    st.tuples(st.just("event"), st.sampled_from([*EVENTS, "handoff.return"]), st.just(0)),
    st.tuples(st.just("timer"), st.just(""), st.integers(0, 3)),
    st.tuples(st.just("stale"), st.just(""), st.just(0)),
)
HISTORIES = st.lists(INPUTS, min_size=6, max_size=25)
PROFILE = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def event_of(snapshot: Snapshot, kind: str, what: str, number: int) -> Event:
    """The event of a kind; for "go on" the one that the conversation waits for."""
    waits = snapshot.waiting_for or ""
    match kind:
        case "event":
            return EventReceived(what, {}, NOW)
        case "timer":
            return TimerFired([*snapshot.timers, "timer-0"][min(number, len(snapshot.timers))], NOW)
        case "stale":
            return ToolReturned("call-0", None, False)
        case "go on" if waits.startswith("call"):
            return ToolReturned(waits, RESULTS[number % 4], number % 3 == 0, number % 5 == 0)
        case "go on" if waits.startswith("generation"):
            failed = GenerationFailed(waits, "UNAVAILABLE", "gone")
            return failed if number % 4 == 0 else GenerationFinished(waits, "Hm.")
        case "go on" if snapshot.status == "handed_off":
            return EventReceived("handoff.return", {}, NOW)
    return UserSaid(what, NOW + timedelta(days=number))


@st.composite
def libraries(draw: st.DrawFn) -> FlowRegistry:
    """Two flows: one calls the other, and may be interrupted by it."""
    library = FlowRegistry()
    for name in ("main", OTHER):
        flow = loaded(draw(documents(name)))
        assume(flow is not None)
        assert flow is not None
        note(flow.source)
        library.add(flow)
    return library


def play(
    library: FlowRegistry, history: list[tuple[str, str, int]]
) -> Iterator[tuple[Snapshot, Event, StepResult]]:
    """The events of a history, each with the snapshot before it and the result of its step."""
    snapshot = begin(library.get("main"), {})
    event: Event = Started()
    for happened in (*history, ("stale", "", 0)):
        result = step(library.get, snapshot, event, MAX_STEPS)
        yield snapshot, event, result
        snapshot = result.snapshot
        event = event_of(snapshot, *happened)


def active(frame: Frame) -> set[str]:
    """The active states of a frame, with their ancestors."""
    return {name for record in frame.active_states for name in (record.state, *ancestors(record.state))}
