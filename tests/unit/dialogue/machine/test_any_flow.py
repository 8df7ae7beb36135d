"""The machine in flows that nobody wrote, under any history: it is always somewhere that one can be."""

from __future__ import annotations

import json
from collections import Counter
from typing import get_args

from clawdbot_dialogue.core.flow.flow_registry import FlowLibrary
from clawdbot_dialogue.core.flow.model import Flow
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
    TimerFired,
)
from clawdbot_dialogue.core.machine.snapshot import Frame, Snapshot
from clawdbot_dialogue.core.machine.step import step
from clawdbot_dialogue.core.machine.step_result import TransitionTaken
from hypothesis import given, settings

from tests.support.random_histories import HISTORIES, MOST_STEPS, PROFILE, active, libraries, play


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
        assert frame.drafts.keys().isdisjoint(frame.slots)
        states = library.get(frame.flow).states
        assert sum(bool(place.asked) for place in frame.places) <= 1
        for place in frame.places:
            slot = place.asked.partition(".")[0]
            assert not slot or slot in states[place.state].collect
            if states[place.state].kind == "collect" and slot and not place.resting:
                assert slot not in frame.slots or frame is not after.frames[-1]
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
        moves = sum(isinstance(each, TransitionTaken) for each in taken.trace)
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
