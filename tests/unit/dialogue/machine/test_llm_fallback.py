"""The model as a fallback for the rules: when it is asked, what it may propose, and who decides."""

from __future__ import annotations

import json

import pytest
from clawdbot_dialogue.core.machine.effects import CommandsGenerated, Interpret
from clawdbot_dialogue.core.machine.events import Interpreted
from clawdbot_dialogue.core.machine.snapshot import Snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.flows import Talk, compiled, library
from tests.support.properties import examples

TABLE = """
description: Reserve a table
understanding: {model: small, when: unclear}
slots:
  n: {type: integer, min: 1, max: 20, hints: [people], ask: How many?}
  day: {type: date, ask: When?}
  ok: {type: boolean, fill: asked_only, ask: "{n} on {day}?"}
states:
  ask: {collect: [n, day], instructions: The restaurant is closed on Mondays., no_match: {retries: 1, to: human}, next: confirm}
  confirm: {collect: [ok], model: large, next: done}
  done: {say: Done., end: true}
  human: {handoff: desk}
interrupts: {allow: [faq, cancel]}
"""  # noqa: E501 - a flow


FLOW = compiled(TABLE)


@pytest.fixture
def talk():
    return Talk.about(compiled(TABLE))


def offered_names(talk: Talk) -> list[str]:
    return [tool.name for tool in talk.interpret.command_tools]


def test_the_rules_have_precedence(talk):
    talk.say("4")
    assert talk._all(Interpret) == []
    assert talk.slots["n"] == 4


def test_the_model_is_asked_if_the_rules_do_not_understand_a_message(talk):
    talk.say("the usual lot plus my in-laws")
    assert talk.interpret.model == "small"
    assert talk.effects[-1] is talk.interpret
    assert talk._all(CommandsGenerated) == []
    talk.means(("set_slot", {"slot": "n", "value": 8.0}))
    assert talk.slots["n"] == 8
    assert talk.commands == [("set_slot", "n", 8, True)]
    assert talk._all(CommandsGenerated)[0].commands[0].source == "model"
    assert talk.replies == ["When?"]


def test_the_prompt_describes_the_conversation(talk):
    told = talk.say("4").say("whenever Jim is back").interpret.instructions
    for part in ("Reserve a table", "closed on Mondays", "2026-11-24", "asked for day: When?", "n = 4"):
        assert part in told
    assert "Still missing: day" in told


def test_the_model_is_offered_the_allowed_commands(talk: Talk):
    talk.say("hmm, dunno")
    assert offered_names(talk) == [
        "set_slot", "start_flow", "cancel_flow", "handoff", "clarify", "chitchat", "help", "none",
    ]  # fmt: skip
    (set_slot,) = [tool for tool in talk.interpret.command_tools if tool.name == "set_slot"]
    assert set_slot.parameters["properties"]["slot"]["enum"] == ["n", "day"]
    talk.means_nothing().say("4").say("dunno")
    assert "correct_slot" in offered_names(talk)


def test_the_model_is_not_offered_commands_that_the_flow_forbids():
    bare = "slots: {n: {type: integer}}\nstates: {a: {collect: [n], model: m, next: b}, b: {end: true}}\n"
    talk = Talk.about(compiled(bare + "interrupts: {allow: []}")).say("hmm, dunno")
    assert not {"start_flow", "cancel_flow", "handoff"} & set(offered_names(talk))


def test_several_proposals_are_processed_in_order(talk):
    talk.say("the usual lot, on the day after the match")
    talk.means(("set_slot", {"slot": "n", "value": 8}), ("set_slot", {"slot": "day", "value": "2026-12-01"}))
    assert talk.state == "confirm"
    assert talk.replies == ["8 on Tuesday, 1 December 2026?"]


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        (("transfer_money", {"to": "me"}), "transfer_money was not on offer"),
        (("set_slot", {"slot": "ok", "value": True}), "slot cannot be 'ok' here"),
        (("set_slot", {"slot": "gone", "value": 1}), "slot cannot be 'gone' here"),
        (("correct_slot", {"slot": "n", "value": 1}), "correct_slot was not on offer"),
        (("start_flow", {"flow": "support"}), "flow cannot be 'support' here"),
        (("set_slot", {"slot": "n"}), "it has no value"),
        (("clarify", {"slot": "n", "values": [4]}), "it needs two values"),
    ],
)
def test_a_proposal_that_is_not_allowed_is_refused_and_recorded(talk, proposal, reason):
    talk.say("please do it").means(proposal)
    (command, *_) = talk._all(CommandsGenerated)[0].commands
    assert (command.accepted, command.reason, command.source) == (False, reason, "model")
    assert talk.state == "ask"
    assert dict(talk.slots) == {}
    assert talk.replies == ["Sorry, I did not understand that. How many?"]


def test_a_proposed_value_out_of_bounds_is_refused_with_the_reason(talk):
    talk.say("the whole village").means(("set_slot", {"slot": "n", "value": 300}))
    assert talk.commands == [("set_slot", "n", 300, False)]
    assert "20" in talk.replies[0]


def test_an_allowed_proposal_counts_though_another_is_refused(talk):
    talk.say("do it for the lot").means(("drop_tables", {}), ("set_slot", {"slot": "n", "value": 8}))
    assert [command[3] for command in talk.commands] == [False, True]
    assert talk.slots["n"] == 8


def test_a_new_value_for_a_slot_that_has_one_is_a_correction(talk):
    talk.say("4").say("tomorrow").say("make that one less, Jim is ill")
    assert talk.interpret.model == "large"
    talk.means(("correct_slot", {"slot": "n", "value": 3}))
    assert talk.path == ["ask", "confirm"]
    assert talk.slots["n"] == 3


@pytest.mark.parametrize(
    ("proposal", "holds"),
    [
        (("cancel_flow", {}), lambda talk: talk.snapshot.status == "ended"),
        (("handoff", {}), lambda talk: talk.snapshot.status == "handed_off"),
        (("start_flow", {"flow": "faq"}), lambda talk: talk.snapshot.flow == "faq"),
        (("help", {}), lambda talk: talk.replies[0].endswith("How many?")),
        (("chitchat", {"kind": "thanks"}), lambda talk: talk.replies[0].endswith("How many?")),
        (("chitchat", {"kind": "other"}), lambda talk: talk.replies == ["How many?"]),
        (("clarify", {"slot": "n", "values": [4, 5]}), lambda talk: "4 or 5" in talk.replies[0]),
        (("none", {}), lambda talk: "did not understand" in talk.replies[0]),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)  # fmt: skip
def test_a_proposed_command_has_the_same_effect_as_one_of_the_rules(talk, proposal, holds):
    talk.say("well, you know what I mean").means(proposal)
    assert holds(talk)


def test_without_an_interpretation_the_rules_decide(talk):
    talk.say("hmm").means_nothing()
    assert talk.replies == ["Sorry, I did not understand that. How many?"]
    assert [note.code for note in talk.notes] == ["not-interpreted"]
    talk.say("hmm").means_nothing()
    assert talk.snapshot.status == "handed_off"


def test_an_unexpected_interpretation_is_ignored(talk: Talk):
    request = talk.say("hmm").interpret
    before = talk.means(("set_slot", {"slot": "n", "value": 8})).snapshot
    talk.give(Interpreted(request.interpretation_id, (), request.pending_message))
    assert talk.snapshot == before
    assert talk.notes[0].code == "ignored-event"


def test_with_always_the_model_gets_every_message_except_set_phrases():
    talk = Talk.about(compiled(TABLE.replace("unclear", "always")))
    talk.say("4 people, though Jim may not come")
    talk.means(("set_slot", {"slot": "n", "value": 3}))
    assert talk.slots["n"] == 3
    assert talk.say("cancel").snapshot.status == "ended"


def test_with_always_the_rules_are_the_fallback():
    talk = Talk.about(compiled(TABLE.replace("unclear", "always")))
    assert talk.say("4 people").means_nothing().slots["n"] == 4


def test_a_message_that_restarts_a_conversation_may_be_interpreted_too():
    flow = TABLE.replace("done: {say: Done., end: true}", "done: {say: Done.}")
    talk = Talk.about(compiled(flow), slots={"n": 4, "day": "2026-12-01"})
    talk.say("yes")
    assert talk.state == "done"
    talk.say("once more, for the lot")
    assert talk.interpret.pending_message.restarted
    talk.means(("correct_slot", {"slot": "n", "value": 8}))
    assert talk.slots["n"] == 8


def test_a_conversation_that_waits_for_the_model_survives_json(talk):
    talk.say("hmm")
    flows = library(compiled(TABLE)).get
    assert Snapshot.from_json(json.loads(json.dumps(talk.snapshot.to_json())), flows) == talk.snapshot


SCALARS = st.none() | st.booleans() | st.integers(-100, 100) | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS | st.just("2026-12-01"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
ARGUMENTS = {
    "slot": st.sampled_from(["n", "day", "ok", "x"]) | JSON,
    "value": JSON,
    "values": JSON,
    "flow": st.sampled_from(["faq", "support"]) | JSON,
    "kind": st.sampled_from(["thanks", "other"]) | JSON,
}
COMMANDS = [
    "set_slot",
    "correct_slot",
    "start_flow",
    "cancel_flow",
    "clarify",
    "chitchat",
    "handoff",
    "help",
    "none",
    "affirm",
    "x",
]
PROPOSALS = st.lists(
    st.tuples(st.sampled_from(COMMANDS), st.fixed_dictionaries({}, optional=ARGUMENTS)), max_size=4
)
WORDS = st.sampled_from(["hmm", "4", "tomorrow", "yes", "whatever you say"])


@settings(max_examples=examples(100))
@given(turns=st.lists(st.tuples(WORDS, PROPOSALS), max_size=6))
def test_no_proposal_breaks_the_machine(turns):
    talk = Talk.about(FLOW)
    for words, proposals in turns:
        talk.say(words)
        if talk._all(Interpret):
            talk.means(*proposals)
        frame = talk.snapshot.frames[0]
        for slot, value in frame.slots.items():
            assert FLOW.slots[slot].check(value, None) == value
        assert talk.snapshot.waiting_for is not None or talk.snapshot.status != "active"
        json.dumps(talk.snapshot.to_json())
