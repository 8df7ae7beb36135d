"""docs/flows.md: every file on the page is complete and valid, and the reference omits nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clawdbot_dialogue.core.flow.diagnostic_codes import CODES
from clawdbot_dialogue.core.flow.loader import check_references, validate_flow
from clawdbot_dialogue.core.flow.parse.source_model import (
    MAX_FIELDS,
    MAX_SLOTS,
    ActionSource,
    CallSource,
    FlowSource,
    GenerateSource,
    InterruptsSource,
    NoMatchSource,
    RegionSource,
    SlotSource,
    StateSource,
    SubflowSource,
    TimeoutSource,
    TransitionSource,
    UnderstandingSource,
)
from clawdbot_dialogue.flow_testing.runner import run_conversations
from clawdbot_dialogue.flow_testing.test_file import Conversation, ConversationFile, Expectation, Step

from tests.support.flows import Talk, library

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "flows.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
FLOWS = [block for block in BLOCKS if "\nstates:" in block]
CONVERSATIONS = [block for block in BLOCKS if "\nconversations:" in block]


def test_the_page_has_eight_flows_and_one_conversation_file():
    assert (len(FLOWS), len(CONVERSATIONS), len(BLOCKS)) == (8, 1, 9)


@pytest.mark.parametrize("source", FLOWS)
def test_a_flow_on_the_page_has_neither_errors_nor_warnings(source):
    found = validate_flow(source, "my_table.yaml")
    assert found.diagnostics == ()
    names = {flow.name for flow in library().list()}
    assert check_references(found.flow, names, {"tables.reserve", "kitchen.stock"}, {"chat"}) == ()


def test_the_steps_are_versions_of_one_flow():
    flows = [validate_flow(source, "my_table.yaml").flow for source in FLOWS if "flow: my_table" in source]
    assert [(flow.name, flow.version) for flow in flows] == [
        ("my_table", number) for number in (1, 2, 3, 4, 5)
    ]


@pytest.mark.parametrize("source", CONVERSATIONS)
def test_the_conversations_on_the_page_pass(source):
    flows = library(*(validate_flow(each, "my_table.yaml").flow for each in FLOWS))
    for result in run_conversations(source, "my_table.test.yaml", flows.get):
        assert result.failures == (), result.render()


def test_the_diagnostic_on_the_page_is_the_real_one():
    source = FLOWS[2].replace("slots.party_size > 8", "slots.party_sise > 8")
    (found,) = validate_flow(source, "my_table.yaml").diagnostics
    assert f"```\n{found.render(source)}\n```" in PAGE


def test_the_page_lists_every_code_with_its_meaning():
    assert [code for code, meaning in CODES.items() if f"| `{code}` | {meaning} |" not in PAGE] == []


@pytest.mark.parametrize(
    "model",
    [FlowSource, SlotSource, StateSource, RegionSource, TransitionSource, ActionSource, CallSource,
     SubflowSource, GenerateSource, NoMatchSource, TimeoutSource, InterruptsSource,
     UnderstandingSource,
     ConversationFile, Conversation, Step, Expectation],
)  # fmt: skip
def test_the_page_lists_every_key(model):
    keys = [field.alias or name for name, field in model.model_fields.items()]
    assert [key for key in keys if not re.search(rf"[`{{ ]{key}[`:]|^{key}:", PAGE, re.MULTILINE)] == []


def test_the_order_on_the_page_asks_one_question_at_a_time_and_resumes_where_it_was():
    talk = Talk.about(validate_flow(FLOWS[5], "my_order.yaml").flow)
    assert talk.replies == ["Welcome!", "Soup, pasta or cake?"]
    assert talk.say("pasta for 3, to ada@example.com").call.arguments == {"dish": "pasta"}
    assert talk.returns({"left": 5}).replies == ["3 times pasta: is that right?"]
    talk.event("kitchen.closed")
    assert talk.generation.model == "chat"
    talk.writes("Last orders, please.").say("fine")
    assert talk.replies == ["3 times pasta: is that right?"]
    assert talk.say("yes").snapshot.flow == "faq"
    assert talk.say("parking").replies[-1] == "Enjoy!"


def test_the_counter_on_the_page_understands_both_its_languages():
    talk = Talk.about(validate_flow(FLOWS[6], "my_counter.yaml").flow)
    assert talk.replies == ["For how many people?"]
    assert talk.say("二十一个人").replies == ["人数不能超过20。请问几位？"]
    assert talk.say("21").replies == ["人数不能超过20。请问几位？"]
    assert talk.say("21 people then").replies == [
        "The number of guests must be at most 20. For how many people?"
    ]
    assert talk.say("两位").replies == ["好的，2位。"]


def test_the_delivery_on_the_page_collects_composite_values():
    talk = Talk.about(validate_flow(FLOWS[7], "my_delivery.yaml").flow)
    assert talk.replies == ["Let us begin with the first pizza. Margherita or funghi?"]
    assert talk.say("a large margherita, 2 times").replies == ["Another one?"]
    assert talk.say("a small one").replies == ["Margherita or funghi?"]
    assert talk.say("funghi").replies == ["Another one?"]
    assert talk.say("no, that's all").replies == ["Who is coming?"]
    assert talk.say("Ann, Bob and Carol").replies == ["Which street and number?"]
    assert talk.say("12 Main Street").say("Springfield").replies == ["When shall we come?"]
    assert talk.say("tomorrow").replies == ["At what time?"]
    talk.say("seven in the evening").say("at eight instead")
    talk.say("without Bob")
    pizzas, when = "margherita, large, 2; funghi, small", "Wednesday, 25 November 2026 at 20:00"
    assert talk.replies == [f"{pizzas}, for Ann and Carol, to 12 Main Street on {when}. Right?"]
    assert talk.say("yes").replies == ["See you then!"]


def test_the_page_names_the_largest_number_of_slots_and_fields():
    assert f"at most {MAX_SLOTS} slots |" in PAGE
    assert f"| `fields` | `object` | by name, each written as a slot; at most {MAX_FIELDS};" in PAGE


@pytest.mark.parametrize("more", [0, 1])
def test_one_slot_or_field_more_than_that_is_a_bad_value(more):
    ask = "states: {a: {collect: [s0], next: [{to: b}]}, b: {end: true}}"
    head = "flow: wide\nversion: 1\ndescription: Many\nslots:\n"
    field = "{type: date, ask: When?}"
    slots = "".join(f"  s{at}: {field}\n" for at in range(MAX_SLOTS + more))
    fields = ", ".join(f"f{at}: {field}" for at in range(MAX_FIELDS + more))
    for source in (f"{head}{slots}{ask}", f"{head}  s0: {{type: object, fields: {{{fields}}}}}\n{ask}"):
        found = validate_flow(source, "wide.yaml")
        errors = {each.code for each in found.diagnostics if each.severity == "error"}
        assert ("bad-value" in errors, found.flow is None) == (bool(more), bool(more))
