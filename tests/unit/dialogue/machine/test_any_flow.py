"""The machine in flows that nobody wrote, under any history: where it is is always somewhere that one can be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import get_args

from clawdbot_dialogue.core.flow.library import FlowLibrary
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.tree import ancestors
from clawdbot_dialogue.core.machine.effects import (
    CallTool,
    CancelTimer,
    Effect,
    Ended,
    Generate,
    Say,
    SetTimer,
    Understood,
)
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
from clawdbot_dialogue.core.machine.step import Step, begin, step
from clawdbot_dialogue.core.machine.trace import Moved
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st

from tests.support.flows import NOW
from tests.support.random_flows import EVENTS, OTHER, documents, loaded

MOST_STEPS = 12
"""Micro-steps allowed: fewer than usual, since many of these flows run in circles."""
RESULTS = [{"ok": True}, {"ok": False}, None, 7]
PHRASES = [
    "4", "12 people", "99", "red", "blue", "yes", "no", "Ada", "my name is Bob", "no, make it 6", "actually blue",
    "change the name", "start other", "cancel", "help", "hello", "a human please", "purple", "", "red, 5 people",
]  # fmt: skip
HAPPENINGS = st.one_of(
    st.tuples(st.just("go on"), st.sampled_from(PHRASES), st.integers(0, 9)),
    st.tuples(st.just("say"), st.sampled_from(PHRASES), st.just(0)),
    st.tuples(st.just("event"), st.sampled_from([*EVENTS, "handoff.return"]), st.just(0)),
    st.tuples(st.just("timer"), st.just(""), st.integers(0, 3)),
    st.tuples(st.just("stale"), st.just(""), st.just(0)),
)
HISTORIES = st.lists(HAPPENINGS, min_size=6, max_size=25)
PROFILE = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def event_of(snapshot: Snapshot, kind: str, what: str, number: int) -> Event:
    """The event, about what the conversation waits for where it says "go on"."""
    waits = snapshot.waiting_for or ""
    match kind:
        case "event":
            return EventReceived(what, {}, NOW)
        case "timer":
            return TimerFired([*snapshot.timers, "timer-0"][min(number, len(snapshot.timers))])
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
def libraries(draw: st.DrawFn) -> FlowLibrary:
    """Two flows, of which one calls the other and may be interrupted by it."""
    library = FlowLibrary()
    for name in ("main", OTHER):
        flow = loaded(draw(documents(name)))
        assume(flow is not None)
        assert flow is not None
        note(flow.source)
        library.add(flow)
    return library


def play(library: FlowLibrary, history: list[tuple[str, str, int]]) -> Iterator[tuple[Snapshot, Event, Step]]:
    snapshot = begin(library.get("main"), {})
    event: Event = Started()
    for happening in (*history, ("stale", "", 0)):
        taken = step(library.get, snapshot, event, MOST_STEPS)
        yield snapshot, event, taken
        snapshot = taken.snapshot
        event = event_of(snapshot, *happening)


def active(frame: Frame) -> set[str]:
    return {name for place in frame.places for name in (place.state, *ancestors(place.state))}


def check_configuration(flow: Flow, frame: Frame) -> None:
    states = flow.states
    orders = [states[place.state].order for place in frame.places]
    assert orders == sorted(set(orders))
    inside = active(frame)
    assert len([name for name in inside if not states[name].parent]) == 1
    for name in inside:
        assert states[name].kind != "history"
        within = [child for child in states[name].children if child in inside]
        match states[name].kind:
            case "compound":
                assert len(within) == 1
            case "parallel":
                assert within == list(states[name].children)
            case _:
                assert any(place.state == name for place in frame.places)


def check_waiting(library: FlowLibrary, after: Snapshot) -> None:
    assert sum(bool(place.asked) for frame in after.frames for place in frame.places[:]) <= len(after.frames)
    for frame in after.frames:
        states = library.get(frame.flow).states
        assert sum(bool(place.asked) for place in frame.places) <= 1
        for place in frame.places:
            assert not place.asked or place.asked in states[place.state].collect
            if states[place.state].kind == "collect" and place.asked and not place.resting:
                assert place.asked not in frame.slots or frame is not after.frames[-1]
    for frame in after.frames[:-1]:
        assert not any(place.timer for place in frame.places)
    if after.status == "active":
        assert after.waiting_for is not None
        for place in after.frames[-1].places:
            assert place.waiting_for or after.waiting_for != "user" or place.resting
    busy = [place for place in after.frames[-1].places if place.waiting_for not in ("", "user")]
    assert len(busy) <= 1


def check_effects(effects: tuple[Effect, ...]) -> None:
    kinds = [type(effect) for effect in effects]
    assert all(isinstance(effect, get_args(Effect)) for effect in effects)
    assert kinds[:-1].count(CallTool) == kinds[:-1].count(Generate) == 0
    assert [at for at, kind in enumerate(kinds) if kind is Understood] in ([], [0])
    assert kinds.count(Ended) <= 1


@settings(PROFILE, max_examples=150)
@given(library=libraries(), history=HISTORIES)
def test_whatever_happens_in_any_flow_it_is_somewhere_that_one_can_be(library, history):
    for before, _, taken in play(library, history):
        after = taken.snapshot
        check_effects(taken.effects)
        for frame in after.frames:
            check_configuration(library.get(frame.flow), frame)
        check_waiting(library, after)
        ended = any(isinstance(effect, Ended) for effect in taken.effects)
        assert (after.status == "ended") == (ended or before.status == "ended")
        assert not (ended and before.status == "ended")
        regions = max(len(frame.places) for frame in (*before.frames, *after.frames))
        moves = sum(isinstance(each, Moved) for each in taken.trace)
        # A message may add the few moves by which it wakes, corrects or interrupts before the count begins.
        assert moves <= (2 * MOST_STEPS + 4) * max(regions, 8)


@settings(PROFILE, max_examples=150)
@given(library=libraries(), history=HISTORIES)
def test_each_state_that_is_entered_is_left_once(library, history):
    inside: Counter[str] = Counter()
    for _, _, taken in play(library, history):
        for effect in taken.effects:
            if isinstance(effect, Say) and effect.text[0] in "+-":
                inside[effect.text[1:]] += 1 if effect.text[0] == "+" else -1
                assert inside[effect.text[1:]] >= 0
        frames = taken.snapshot.frames if taken.snapshot.status != "ended" else ()
        # A flow that calls itself is in its states more than once.
        assert +inside == Counter(f"{frame.flow}:{name}" for frame in frames for name in active(frame))


@settings(PROFILE, max_examples=100)
@given(library=libraries(), history=HISTORIES)
def test_timers_are_set_while_what_they_are_for_waits_and_never_otherwise(library, history):
    running = set[str]()
    for _, event, taken in play(library, history):
        if isinstance(event, TimerFired):
            running.discard(event.timer_id)
        for effect in taken.effects:
            if isinstance(effect, SetTimer):
                assert effect.timer_id not in running
                running.add(effect.timer_id)
            elif isinstance(effect, CancelTimer):
                running.remove(effect.timer_id)
        assert running == set(taken.snapshot.timers)
        states = library.get(taken.snapshot.flow).states
        quiet = taken.snapshot.status == "active" and taken.snapshot.waiting_for == "user"
        for place in taken.snapshot.frames[-1].places if quiet else ():
            assert bool(place.timer) == (states[place.state].timeout is not None)


@settings(PROFILE, max_examples=80)
@given(library=libraries(), history=HISTORIES)
def test_a_conversation_in_any_flow_can_be_stored_and_repeated(library, history):
    kept: list[tuple[Snapshot, str]] = []
    for before, event, taken in play(library, history):
        stored = json.dumps(before.to_json())
        restored = Snapshot.from_json(json.loads(stored), library.get)
        assert restored == before
        assert step(library.get, restored, event, MOST_STEPS) == taken
        kept.append((before, stored))
    assert all(json.dumps(before.to_json()) == stored for before, stored in kept)
