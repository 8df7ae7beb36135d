"""The machine in generated flows with generated histories: its configuration is always valid."""

from __future__ import annotations

import json
from collections import Counter
from typing import get_args

from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.machine.effects import (
    CallTool,
    CancelTimer,
    CommandsGenerated,
    Effect,
    Ended,
    Generate,
    Say,
    SetTimer,
)
from clawdbot_dialogue.core.machine.events import (
    TimerFired,
)
from clawdbot_dialogue.core.machine.snapshot import Frame, Snapshot
from clawdbot_dialogue.core.machine.step import step
from clawdbot_dialogue.core.machine.step_result import TransitionTaken
from hypothesis import given, settings

from tests.support.properties import examples
from tests.support.random_histories import HISTORIES, MAX_STEPS, PROFILE, active, libraries, play


def check_configuration(flow: Flow, frame: Frame) -> None:
    states = flow.states
    orders = [states[record.state].order for record in frame.active_states]
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
                assert any(record.state == name for record in frame.active_states)


def check_waiting(library: FlowRegistry, after: Snapshot) -> None:
    assert sum(bool(record.asked) for frame in after.frames for record in frame.active_states[:]) <= len(
        after.frames
    )
    for frame in after.frames:
        assert frame.drafts.keys().isdisjoint(frame.slots)
        states = library.get(frame.flow).states
        assert sum(bool(record.asked) for record in frame.active_states) <= 1
        for record in frame.active_states:
            slot = record.asked.partition(".")[0]
            assert not slot or slot in states[record.state].collect
            if states[record.state].kind == "collect" and slot and not record.resting:
                assert slot not in frame.slots or frame is not after.frames[-1]
    for frame in after.frames[:-1]:
        assert not any(record.timer for record in frame.active_states)
    if after.status == "active":
        assert after.waiting_for is not None
        for record in after.frames[-1].active_states:
            assert record.waiting_for or after.waiting_for != "user" or record.resting
    busy = [record for record in after.frames[-1].active_states if record.waiting_for not in ("", "user")]
    assert len(busy) <= 1


def check_effects(effects: tuple[Effect, ...]) -> None:
    kinds = [type(effect) for effect in effects]
    assert all(isinstance(effect, get_args(Effect)) for effect in effects)
    assert kinds[:-1].count(CallTool) == kinds[:-1].count(Generate) == 0
    assert [at for at, kind in enumerate(kinds) if kind is CommandsGenerated] in ([], [0])
    assert kinds.count(Ended) <= 1


@settings(PROFILE, max_examples=examples(150))
@given(library=libraries(), history=HISTORIES)
def test_every_step_leads_to_a_valid_configuration(library, history):
    for before, _, result in play(library, history):
        after = result.snapshot
        check_effects(result.effects)
        for frame in after.frames:
            check_configuration(library.get(frame.flow), frame)
        check_waiting(library, after)
        ended = any(isinstance(effect, Ended) for effect in result.effects)
        assert (after.status == "ended") == (ended or before.status == "ended")
        assert not (ended and before.status == "ended")
        regions = max(len(frame.active_states) for frame in (*before.frames, *after.frames))
        moves = sum(isinstance(each, TransitionTaken) for each in result.trace)
        # A message may add a few transitions: it restarts, corrects or interrupts before the count starts.
        assert moves <= (2 * MAX_STEPS + 4) * max(regions, 8)


@settings(PROFILE, max_examples=examples(150))
@given(library=libraries(), history=HISTORIES)
def test_each_entered_state_is_exited_once(library, history):
    inside: Counter[str] = Counter()
    for _, _, result in play(library, history):
        for effect in result.effects:
            if isinstance(effect, Say) and effect.text[0] in "+-":
                inside[effect.text[1:]] += 1 if effect.text[0] == "+" else -1
                assert inside[effect.text[1:]] >= 0
        frames = result.snapshot.frames if result.snapshot.status != "ended" else ()
        # A flow that calls itself can be in a state more than once.
        assert +inside == Counter(f"{frame.flow}:{name}" for frame in frames for name in active(frame))


@settings(PROFILE, max_examples=examples(100))
@given(library=libraries(), history=HISTORIES)
def test_timers_are_set_exactly_while_their_state_waits(library, history):
    running = set[str]()
    for _, event, result in play(library, history):
        if isinstance(event, TimerFired):
            running.discard(event.timer_id)
        for effect in result.effects:
            if isinstance(effect, SetTimer):
                assert effect.timer_id not in running
                running.add(effect.timer_id)
            elif isinstance(effect, CancelTimer):
                running.remove(effect.timer_id)
        assert running == set(result.snapshot.timers)
        states = library.get(result.snapshot.flow).states
        quiet = result.snapshot.status == "active" and result.snapshot.waiting_for == "user"
        for record in result.snapshot.frames[-1].active_states if quiet else ():
            assert bool(record.timer) == (states[record.state].timeout is not None)


@settings(PROFILE, max_examples=examples(80))
@given(library=libraries(), history=HISTORIES)
def test_any_conversation_can_be_stored_and_replayed(library, history):
    snapshots: list[tuple[Snapshot, str]] = []
    for before, event, result in play(library, history):
        stored = json.dumps(before.to_json())
        restored = Snapshot.from_json(json.loads(stored), library.get)
        assert restored == before
        assert step(library.get, restored, event, MAX_STEPS) == result
        snapshots.append((before, stored))
    assert all(json.dumps(before.to_json()) == stored for before, stored in snapshots)
