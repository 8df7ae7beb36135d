"""The runner of conversation files: what it drives, what it expects, and how it tells a difference."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.slots.validation import SlotInvalid
from clawdbot_dialogue.flow_testing.runner import run_conversations
from clawdbot_dialogue.flow_testing.test_file import ConversationInvalid
from clawdbot_dialogue.flow_testing.tool_stubs import within

from tests.support.flows import compiled, library

LIBRARY = library(
    compiled("""
slots:
  n: {type: integer, hints: [people], ask: How many?}
states:
  a:
    collect: [n]
    timeout: {after: 1h, to: late}
    next: [{event: go, to: c}, {if: slots.n > 5, to: big}, {to: b}]
  b:
    call: {tool: t, args: {n: "${slots.n}"}}
    next: [{if: result.ok, to: c}, {on_error: any, say: Broken., to: d}, {to: d}]
  c: {generate: {instructions: i}}
  d: {say: Bye., end: true}
  big: {handoff: desk}
  late: {say: Late.}
""")
)
HEAD = "flow: f\nnow: 2026-11-24T10:00\nconversations:\n  - name: one\n"


def run(body):
    source = HEAD + indent(dedent(body), "    ")
    return run_conversations(source, "c.yaml", LIBRARY.get)[0]


def failures(body):
    return [(each.line, each.message) for each in run(body).failures]


def test_a_conversation_with_tools_a_model_events_and_time_passes():
    outcome = run("""
        tools: {t: [{result: {ok: true}}]}
        model: [Hello., {error: UNAVAILABLE}]
        steps:
          - expect: {state: a, reply: How many?, path: [a], commands: []}
          - wait: 59m
            expect: {silent: true}
          - wait: 1m
            expect: {state: late, reply: Late.}
          - say: 4 people
            expect:
              {state: c, reply: Hello., path: [a, b, c], tool_calls: [{tool: t, args: {n: 4}}], slots: {n: 4}}
          - say: more
            expect: {failed: GENERATION_FAILED, flow: f, status: active}
    """)
    assert outcome.failures == ()
    assert outcome.render() == "ok      one"
    assert outcome.entered == {("f", "a"), ("f", "late"), ("f", "b"), ("f", "c")}


def test_a_tool_may_fail_and_may_leave_open_whether_it_was_called():
    assert failures("""
        tools: {t: [{error: on fire}]}
        steps: [{say: "4", expect: {reply: [Broken., Bye.], status: ended}}]
    """) == []  # fmt: skip
    assert failures("""
        tools: {t: [{unknown: true}]}
        steps: [{say: "4", expect: {reply: Broken., status: ended}}]
    """) == []  # fmt: skip


def test_events_and_values_known_beforehand_are_given():
    assert failures("""
        slots: {n: 9}
        steps: [{expect: {status: handed_off, queue: desk, path: [a, big]}}]
    """) == []  # fmt: skip
    assert failures("model: [Hi.]\nsteps: [{event: {name: go}, expect: {state: c, reply: Hi.}}]") == []


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ("{flow: g}", 'expected the flow "g", it is "f"'),
        ("{state: b}", 'expected the state "b", it is "a"'),
        ("{status: ended}", 'expected the status "ended", it is "active"'),
        ("{queue: desk}", 'expected the queue "desk", it is ""'),
        ("{slots: {n: 4}}", "expected the slot n to be 4, it is without value"),
        ("{reply: Hello}", "expected the reply 'Hello', it is 'Sorry, I did not understand that. How many?'"),
        ("{reply: [How, Sorry]}", "expected the reply 'Sorry'"),
        ("{reply: /^How/}", "expected the reply '/^How/'"),
        ("{silent: true}", "expected silence, the reply is"),
        ("{commands: [help]}", "expected the commands help, understood none"),
        ("{path: [b]}", "expected the path b, went none"),
        ("{tool_calls: [{tool: t}]}", "expected the tool calls t, there were none"),
        ("{failed: FLOW_LOOP}", "expected the failure FLOW_LOOP, the machine declared none"),
    ],
)
def test_a_difference_is_told_with_its_line(expect, message):
    ((line, told),) = failures(f"steps:\n  - expect: {{state: a}}\n  - say: purple\n    expect: {expect}\n")
    assert message in told
    assert line == 7


def test_differences_of_several_steps_are_all_told_in_the_form_of_a_compiler():
    outcome = run(
        "steps:\n  - say: purple\n    expect: {state: x}\n  - say: purple\n    expect: {state: y}\n"
    )
    assert outcome.render().splitlines() == [
        "FAILED  one",
        '  c.yaml:6: expected the state "x", it is "a"',
        '  c.yaml:8: expected the state "y", it is "a"',
    ]


def test_arguments_of_calls_are_compared():
    ((_, told),) = failures("""
        tools: {t: [{result: {ok: false}}]}
        steps: [{say: "4", expect: {tool_calls: [{tool: t, args: {n: 5}}]}}]
    """)
    assert told == "expected t with n 5, it got 4"


def test_a_call_that_the_file_has_no_answer_for_ends_the_conversation():
    ((_, told),) = failures('steps: [{say: "4"}, {say: hello, expect: {state: nowhere}}]')
    assert told == "t is called, and the file has no (more) answer for it"


def test_a_model_that_the_file_has_no_answer_from_ends_the_conversation():
    ((_, told),) = failures("steps: [{event: {name: go}}, {say: hello}]")
    assert told == "the model is asked, and the file has no (more) answer from it"


def test_answers_that_nothing_asked_for_are_told():
    told = [message for _, message in failures("""
        tools: {t: [{result: 1}, {result: 2}]}
        model: [x]
        steps: [{say: purple}]
    """)]  # fmt: skip
    assert told == ["t was to be called 2 more times", "the model was to be asked 1 more times"]


def test_a_failure_of_the_machine_that_was_not_expected_is_told():
    ((_, told),) = failures("model: [{error: UNAVAILABLE}]\nsteps: [{event: {name: go}}]")
    assert "GENERATION_FAILED" in told


def test_a_tool_answers_by_the_arguments_of_the_call():
    assert failures("""
        tools:
          t:
            - {when: {n: 5}, error: on fire}
            - {when: {n: 4}, result: {ok: true}}
        model: [Hi.]
        steps: [{say: "4", expect: {state: c}}]
    """) == [(4, "t was to be called 1 more times")]  # fmt: skip


def test_an_answer_that_is_always_given_serves_any_number_of_calls_none_included():
    talk = """
        tools: {{t: [{{when: {{n: 3}}, error: on fire}}, {{always: true, result: {{ok: {ok}}}}}]}}
        steps: [{{say: "{n}", expect: {{reply: {reply}, status: ended}}}}]
    """
    assert failures(talk.format(n=3, ok="true", reply="[Broken., Bye.]")) == []
    assert failures("tools: {t: {always: true, result: 1}}\nsteps: [{say: purple}]") == []
    again = "tools: {t: {always: true, result: {ok: false}}}\nsteps: [{say: '3', expect: {status: ended}}]"
    assert failures(again) == []


def test_a_call_that_no_answer_fits_is_told_with_its_arguments():
    ((_, told),) = failures('tools: {t: [{when: {n: 5}, result: 1}]}\nsteps: [{say: "4"}]')
    assert told == "t is called, and the file has no (more) answer for it that fits {'n': 4}"


@pytest.mark.parametrize(
    ("wanted", "given", "fits"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, True),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, False),
        ({}, {"a": 1}, True),
        ([1, {"a": 2}], [1, {"a": 2}], True),
        ([1], [1, 2], False),
        (True, 1, False),
        (1, 1.0, True),
        (None, None, True),
    ],
)
def test_a_value_is_as_wanted_where_mappings_may_hold_more(wanted, given, fits):
    assert within(wanted, given) is fits


def test_the_clock_is_set_forward_and_what_is_due_by_then_happens():
    assert failures("""
        steps:
          - at: 2026-11-24T10:59
            expect: {state: a, silent: true}
          - at: 2026-11-24T11:00
            expect: {state: late}
    """) == []  # fmt: skip


def test_the_clock_does_not_go_back():
    ((line, told),) = failures("steps:\n  - at: 2026-11-24T09:00\n")
    assert (line, told) == (6, "the clock cannot go from 2026-11-24T10:00:00 to 2026-11-24T09:00:00")
    ((_, told),) = failures("steps: [{at: '2026-11-24T12:00+01:00'}]")
    assert "cannot go" in told


@pytest.mark.parametrize(
    ("expect", "passes"),
    [
        ("{reply: many}", True),
        ("{reply: /^How .*$/}", True),
        ("{reply: {exactly: How many?}}", True),
        ("{reply: {exactly: How many}}", False),
        ("{reply: {matches: 'm.ny'}}", True),
        ("{reply: {holds: How}}", True),
        ("{not_reply: few}", True),
        ("{not_reply: [few, many]}", False),
        ("{not_reply: /m.ny/}", False),
        ("{not_reply: {exactly: How}}", True),
        ("{reply: How, not_reply: {exactly: How many?}}", False),
    ],
)
def test_a_reply_is_expected_in_part_as_a_pattern_as_a_whole_or_not_at_all(expect, passes):
    assert (failures(f"steps: [{{expect: {expect}}}]") == []) is passes


HELPED = library(
    compiled("""
understanding: {model: small, when: unclear}
slots: {n: {type: integer, ask: How many?}}
states: {a: {collect: [n], next: b}, b: {end: true}}
""")
)


def helped(steps):
    (outcome,) = run_conversations(f"{HEAD}    steps: {steps}\n", "c.yaml", HELPED.get)
    return [each.message for each in outcome.failures]


def test_a_model_that_helps_to_understand_is_scripted_in_the_step():
    usual = "{say: the usual lot, commands: [{set_slot: {slot: n, value: 6}}]"
    assert helped(f"[{usual}, expect: {{commands: [set_slot], slots: {{n: 6}}, status: ended}}}}]") == []
    assert helped("[{say: ehm, commands: [clarify, {drop: {}}], expect: {state: a}}]") == []


def test_a_model_that_is_asked_without_a_script_proposes_nothing():
    assert helped("[{say: the usual lot, expect: {state: a, reply: Sorry}}, {say: '6'}]") == []


def test_commands_that_nothing_asked_for_are_told():
    told = helped("[{say: '6', commands: [{set_slot: {slot: n, value: 7}}], expect: {slots: {n: 6}}}]")
    assert told == ["the model was to say what this means, and was not asked"]


def test_conversations_may_be_chosen_by_their_names():
    source = HEAD + "    steps: [{say: x}]\n  - name: two\n    steps: [{say: x}]\n"
    assert [each.name for each in run_conversations(source, "c.yaml", LIBRARY.get, "tw")] == ["two"]


MISTAKES = [
    ("flow: f\nnow: 2026-11-24T10:00\n", "missing-key", "conversations"),
    (HEAD + "    steps: []\n", "bad-value", "at least 1"),
    (HEAD + "    steps: [{sya: x}]\n", "unknown-key", "sya"),
    (HEAD + "    steps: [{say: x, wait: 5m}]\n", "bad-value", "one of say, event, wait, at"),
    (HEAD + "    steps: [{wait: long}]\n", "bad-value", "long"),
    (HEAD + "    steps: [{wait: 5m, commands: [help]}]\n", "bad-value", "they need `say`"),
    (HEAD + "    steps: [{say: x, expect: {staet: a}}]\n", "unknown-key", "staet"),
    (HEAD.replace("2026-11-24T10:00", "soon") + "    steps: [{say: x}]\n", "wrong-type", "now"),
    (HEAD + "    steps: [{expect: {reply: /(/}}]\n", "bad-value", "no regular expression"),
    (HEAD + "    steps: [{expect: {not_reply: {matches: '['}}}]\n", "bad-value", "no regular expression"),
    (HEAD + "    steps: [{expect: {reply: {exact: x}}}]\n", "unknown-key", "exact"),
    (HEAD + "    steps: [{expect: {reply: {holds: x, exactly: x}}}]\n", "bad-value", "one of holds"),
    (HEAD + "    tools: {t: [{result: 1, error: x}]}\n    steps: [{say: x}]\n", "bad-value", "one of result"),
    ("- 1\n", "wrong-type", "the file"),
    ("flow: [", "syntax", "YAML"),
    ("a: b\n" * 900_000, "too-large", "characters"),
    ("".join(f"k{at}: 1\n" for at in range(500)), "too-many", "more errors"),
]


@pytest.mark.parametrize(("source", "code", "says"), MISTAKES, ids=[code for _, code, _ in MISTAKES])
def test_a_file_that_is_none_is_refused_with_places(source, code, says):
    with pytest.raises(ConversationInvalid) as refused:
        run_conversations(source, "c.yaml", LIBRARY.get)
    found = [each for each in refused.value.diagnostics if each.code == code]
    assert found, refused.value.diagnostics
    assert says in found[0].message
    assert found[0].line >= 1


def test_a_flow_that_is_not_there_is_named():
    with pytest.raises(FlowNotFound):
        run_conversations(
            HEAD.replace("flow: f", "flow: g") + "    steps: [{say: x}]\n", "c.yaml", LIBRARY.get
        )


def test_opening_values_that_do_not_fit_are_refused():
    with pytest.raises(SlotInvalid):
        run("slots: {n: many}\nsteps: [{say: x}]")
