"""The shipped flows with generated histories: every step is defined, repeatable, bounded and storable."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import get_args

import pytest
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.machine.effects import (
    CallTool,
    CommandsGenerated,
    Effect,
    Ended,
    Generate,
    StateEntered,
)
from clawdbot_dialogue.core.machine.events import (
    EventReceived,
    GenerationFailed,
    GenerationFinished,
    Started,
    TimerFired,
    ToolReturned,
    UserSaid,
)
from clawdbot_dialogue.core.machine.snapshot import Snapshot
from clawdbot_dialogue.core.machine.step import MAX_MICROSTEPS, begin, step
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.flows import NOW, library
from tests.support.properties import examples

LIBRARY = library(
    load_flow(
        """
flow: circles
version: 1
triggers: [run in circles]
slots:
  n: {type: integer, ask: How many?}
  who: {type: string, ask: Who?}
  ok: {type: boolean, fill: asked_only, ask: Fine?}
states:
  start: {say: Hello., next: [{if: has(slots.n) && slots.n > 3, to: spin}, {to: ask}]}
  ask: {collect: [n, who], no_match: {retries: 1, to: spin}, timeout: {after: 1m, to: rest}, next: check}
  check: {collect: [ok], next: [{if: slots.ok, to: work}, {if: slots.n > 2, clear: [n], to: ask}, {to: talk}]}
  work:
    call: {tool: t, args: {n: "${slots.n}"}}
    next: [{if: result.again, to: work}, {on_error: failed, to: desk}, {to: talk}]
  talk: {generate: {instructions: "For {who}."}, wait: true, next: [{event: ping, to: work}, {to: start}]}
  spin: {next: spun}
  spun: {next: [{if: 1 < 2, to: spin}]}
  rest: {say: Later., next: [{event: ping, to: ask}]}
  desk: {handoff: desk, timeout: {after: 1m, to: rest}, next: [{if: slots.n > 5, to: done}]}
  done: {end: true}
interrupts: {allow: [faq, book_table, support, cancel]}
""",
        "circles.yaml",
    )
)
FLOWS = [flow.name for flow in LIBRARY.list()]

PHRASES = [
    "yes", "no", "4", "12", "25", "a table for 4 tomorrow at 7pm", "no, make it 6", "actually Saturday",
    "change the time", "change the date", "at 23:30", "4 or 5", "cancel", "help", "hello", "thanks", "bye",
    "I want to talk to a human", "opening hours", "where can I park?", "book a table", "i have a problem",
    "run in circles", "my coat was stolen yesterday", "ada@example.com", "purple", "", "?", "next Friday",
    "half past seven", "under the name of Ada", "no, ada@example.org", "parking, and 5 people tomorrow",
]  # fmt: skip
RESULTS = [
    None,
    {"ok": True, "ref": "T-1"},
    {"ok": False},
    {"times": []},
    {"times": ["18:00"]},
    {"again": True},
    7,
    "x",
]
INPUTS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(PHRASES) | st.text(max_size=20), st.integers(0, 40)),
    st.tuples(st.just("event"), st.sampled_from(["handoff.return", "ping", "x"]), st.just(0)),
    st.tuples(st.just("tool"), st.sampled_from(RESULTS), st.integers(0, 3)),
    st.tuples(st.just("model"), st.sampled_from(["Hello.", ""]), st.integers(0, 2)),
    st.tuples(st.just("timer"), st.none(), st.integers(0, 3)),
    st.tuples(st.just("start"), st.none(), st.just(0)),
)


def event_of(snapshot, happened):
    """The event for what the conversation waits for; sometimes for something else."""
    kind, what, number = happened
    waiting = snapshot.waiting_for or "" if number != 2 else "stale-1"
    match kind:
        case "say":
            return UserSaid(what, NOW + timedelta(days=number))
        case "event":
            return EventReceived(what, {"solved": True}, NOW)
        case "tool":
            return ToolReturned(waiting, what, number == 1, number == 3)
        case "model" if number == 1:
            return GenerationFailed(waiting, "UNAVAILABLE", "gone")
        case "model":
            return GenerationFinished(waiting, what)
        case "timer":
            return TimerFired(next(iter(snapshot.timers), "") if number else "timer-0", NOW)
    return Started()


def play(name, history):
    """The events of a history, each with the snapshot before it and the result of its step."""
    snapshot = begin(LIBRARY.get(name), {})
    for happened in (("start", None, 0), *history):
        event = event_of(snapshot, happened)
        result = step(LIBRARY.get, snapshot, event)
        yield snapshot, event, result
        snapshot = result.snapshot


HISTORIES = st.lists(INPUTS, min_size=8, max_size=40) | st.lists(INPUTS, max_size=8)


@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=examples(120))
@given(history=HISTORIES)
def test_any_event_in_any_state_has_a_defined_result(name, history):
    for before, _, result in play(name, history):
        after, effects = result.snapshot, result.effects
        kinds = [type(effect) for effect in effects]
        assert all(isinstance(effect, get_args(Effect)) for effect in effects)
        # A call or generation is the last effect; the commands of a message are the first one, at most once.
        assert kinds[:-1].count(CallTool) == kinds[:-1].count(Generate) == 0
        assert [at for at, kind in enumerate(kinds) if kind is CommandsGenerated] in ([], [0])
        assert kinds.count(StateEntered) <= 2 * MAX_MICROSTEPS
        assert (after.status == "ended") == (Ended in kinds or before.status == "ended")
        assert after.waiting_for is not None or after.status != "active"
        assert 1 <= len(after.frames) <= 8
        for frame in after.frames:
            flow = LIBRARY.get(frame.flow, frame.version)
            assert all(record.state in flow.states for record in frame.active_states)
            assert sum(bool(record.asked) for record in frame.active_states) <= 1
            assert len(set(frame.visited)) == len(frame.visited)
            assert set(frame.commit_points) <= set(frame.visited)
            for slot, value in frame.slots.items():
                assert flow.slots[slot].check(value, None) == value
        states = LIBRARY.get(after.flow, after.version).states
        for record in after.frames[-1].active_states if after.waiting_for == "user" else ():
            assert record.resting or states[record.state].kind in ("collect", "generate", "end")


@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=examples(30))
@given(history=HISTORIES)
def test_the_same_events_give_the_same_snapshots_and_effects(name, history):
    first = list(play(name, history))
    snapshot = begin(LIBRARY.get(name), {})
    for _, event, result in first:
        again = step(LIBRARY.get, snapshot, event)
        assert again == result
        snapshot = again.snapshot


@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=examples(30))
@given(history=HISTORIES)
def test_a_conversation_restored_between_any_two_events_continues_unchanged(name, history):
    for before, event, result in play(name, history):
        stored = json.loads(json.dumps(before.to_json()))
        restored = Snapshot.from_json(stored, LIBRARY.get)
        assert restored == before
        assert step(LIBRARY.get, restored, event) == result


@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=examples(30))
@given(history=HISTORIES)
def test_a_step_does_not_modify_its_snapshot(name, history):
    snapshots = [(before, json.dumps(before.to_json())) for before, _, _ in play(name, history)]
    assert all(json.dumps(before.to_json()) == stored for before, stored in snapshots)


@settings(max_examples=examples(100))
@given(history=HISTORIES, limit=st.integers(1, 12))
def test_no_event_enters_more_states_than_allowed(history, limit):
    snapshot = begin(LIBRARY.get("circles"), {})
    for happened in (("start", None, 0), *history):
        result = step(LIBRARY.get, snapshot, event_of(snapshot, happened), limit)
        entered = sum(isinstance(effect, StateEntered) for effect in result.effects)
        # A message may add a few states: it restarts, corrects or interrupts before the count starts.
        assert entered <= limit + 4
        snapshot = result.snapshot
