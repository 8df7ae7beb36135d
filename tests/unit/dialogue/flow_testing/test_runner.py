"""The runner of conversation files: its inputs, its expectations, and how it reports differences."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError
from clawdbot_dialogue.flow_testing.runner import run_conversations
from clawdbot_dialogue.flow_testing.test_file import InvalidConversationFile
from clawdbot_dialogue.flow_testing.tool_stubs import is_subset

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
    result = run("""
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
    assert result.failures == ()
    assert result.render() == "ok      one"
    assert result.entered == {("f", "a"), ("f", "late"), ("f", "b"), ("f", "c")}


def test_a_tool_may_fail_or_leave_unknown_whether_it_was_called():
    assert failures("""
        tools: {t: [{error: on fire}]}
        steps: [{say: "4", expect: {reply: [Broken., Bye.], status: ended}}]
    """) == []  # fmt: skip
    assert failures("""
        tools: {t: [{unknown: true}]}
        steps: [{say: "4", expect: {reply: Broken., status: ended}}]
    """) == []  # fmt: skip


def test_events_and_initial_values_are_passed():
    assert failures("""
        slots: {n: 9}
        steps: [{expect: {status: handed_off, queue: desk, path: [a, big]}}]
    """) == []  # fmt: skip
    assert failures("model: [Hi.]\nsteps: [{event: {name: go}, expect: {state: c, reply: Hi.}}]") == []


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ("{flow: g}", 'expected the flow "g", got "f"'),
        ("{state: b}", 'expected the state "b", got "a"'),
        ("{status: ended}", 'expected the status "ended", got "active"'),
        ("{queue: desk}", 'expected the queue "desk", got ""'),
        ("{slots: {n: 4}}", "expected the slot n to be 4, got no value"),
        ("{reply: Hello}", "expected the reply 'Hello', got 'Sorry, I did not understand that. How many?'"),
        ("{reply: [How, Sorry]}", "expected the reply 'Sorry'"),
        ("{reply: /^How/}", "expected the reply '/^How/'"),
        ("{silent: true}", "expected no reply, got"),
        ("{commands: [help]}", "expected the commands help, got none"),
        ("{path: [b]}", "expected the path b, got none"),
        ("{tool_calls: [{tool: t}]}", "expected the tool calls t, got none"),
        ("{failed: FLOW_LOOP}", "expected the failure FLOW_LOOP, got none"),
    ],
)
def test_a_difference_is_reported_with_its_line(expect, message):
    ((line, reported),) = failures(
        f"steps:\n  - expect: {{state: a}}\n  - say: purple\n    expect: {expect}\n"
    )
    assert message in reported
    assert line == 7


def test_differences_of_all_steps_are_reported_in_the_format_of_a_compiler():
    result = run("steps:\n  - say: purple\n    expect: {state: x}\n  - say: purple\n    expect: {state: y}\n")
    assert result.render().splitlines() == [
        "FAILED  one",
        '  c.yaml:6: expected the state "x", got "a"',
        '  c.yaml:8: expected the state "y", got "a"',
    ]


def test_arguments_of_calls_are_compared():
    ((_, reported),) = failures("""
        tools: {t: [{result: {ok: false}}]}
        steps: [{say: "4", expect: {tool_calls: [{tool: t, args: {n: 5}}]}}]
    """)
    assert reported == "expected t with n 5, got 4"


def test_a_call_without_a_stub_ends_the_conversation():
    ((_, reported),) = failures('steps: [{say: "4"}, {say: hello, expect: {state: nowhere}}]')
    assert reported == "t was called, but the file has no answer left"


def test_a_generation_without_a_stub_ends_the_conversation():
    ((_, reported),) = failures("steps: [{event: {name: go}}, {say: hello}]")
    assert reported == "the model was called, but the file has no answer left"


def test_unused_stubs_are_reported():
    reported = [message for _, message in failures("""
        tools: {t: [{result: 1}, {result: 2}]}
        model: [x]
        steps: [{say: purple}]
    """)]  # fmt: skip
    assert reported == ["unused answers of t: 2", "unused answers of the model: 1"]


def test_an_unexpected_failure_of_the_machine_is_reported():
    ((_, reported),) = failures("model: [{error: UNAVAILABLE}]\nsteps: [{event: {name: go}}]")
    assert "GENERATION_FAILED" in reported


def test_a_stub_is_chosen_by_the_arguments_of_the_call():
    assert failures("""
        tools:
          t:
            - {when: {n: 5}, error: on fire}
            - {when: {n: 4}, result: {ok: true}}
        model: [Hi.]
        steps: [{say: "4", expect: {state: c}}]
    """) == [(4, "unused answers of t: 1")]  # fmt: skip


def test_a_stub_with_always_answers_any_number_of_calls_including_none():
    talk = """
        tools: {{t: [{{when: {{n: 3}}, error: on fire}}, {{always: true, result: {{ok: {ok}}}}}]}}
        steps: [{{say: "{n}", expect: {{reply: {reply}, status: ended}}}}]
    """
    assert failures(talk.format(n=3, ok="true", reply="[Broken., Bye.]")) == []
    assert failures("tools: {t: {always: true, result: 1}}\nsteps: [{say: purple}]") == []
    again = "tools: {t: {always: true, result: {ok: false}}}\nsteps: [{say: '3', expect: {status: ended}}]"
    assert failures(again) == []


def test_a_call_that_no_stub_matches_is_reported_with_its_arguments():
    ((_, reported),) = failures('tools: {t: [{when: {n: 5}, result: 1}]}\nsteps: [{say: "4"}]')
    assert reported == "t was called, but the file has no answer left that matches {'n': 4}"


@pytest.mark.parametrize(
    ("expected", "given", "matches"),
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
def test_a_value_matches_if_its_mappings_have_at_least_the_expected_keys(expected, given, matches):
    assert is_subset(expected, given) is matches


def test_moving_the_clock_forward_fires_timers_that_are_due():
    assert failures("""
        steps:
          - at: 2026-11-24T10:59
            expect: {state: a, silent: true}
          - at: 2026-11-24T11:00
            expect: {state: late}
    """) == []  # fmt: skip


def test_the_clock_cannot_be_moved_back():
    ((line, reported),) = failures("steps:\n  - at: 2026-11-24T09:00\n")
    assert (line, reported) == (6, "the clock cannot go from 2026-11-24T10:00:00 to 2026-11-24T09:00:00")
    ((_, reported),) = failures("steps: [{at: '2026-11-24T12:00+01:00'}]")
    assert "cannot go" in reported


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
def test_a_reply_is_matched_in_part_by_pattern_as_a_whole_or_negated(expect, passes):
    assert (failures(f"steps: [{{expect: {expect}}}]") == []) is passes


WITH_MODEL = library(
    compiled("""
understanding: {model: small, when: unclear}
slots: {n: {type: integer, ask: How many?}}
states: {a: {collect: [n], next: b}, b: {end: true}}
""")
)


def run_with_model(steps):
    (result,) = run_conversations(f"{HEAD}    steps: {steps}\n", "c.yaml", WITH_MODEL.get)
    return [each.message for each in result.failures]


def test_the_commands_of_the_interpreting_model_are_stubbed_in_the_step():
    usual = "{say: the usual lot, commands: [{set_slot: {slot: n, value: 6}}]"
    assert (
        run_with_model(f"[{usual}, expect: {{commands: [set_slot], slots: {{n: 6}}, status: ended}}}}]") == []
    )
    assert run_with_model("[{say: ehm, commands: [clarify, {drop: {}}], expect: {state: a}}]") == []


def test_the_interpreting_model_proposes_nothing_by_default():
    assert run_with_model("[{say: the usual lot, expect: {state: a, reply: Sorry}}, {say: '6'}]") == []


def test_unused_commands_are_reported():
    reported = run_with_model(
        "[{say: '6', commands: [{set_slot: {slot: n, value: 7}}], expect: {slots: {n: 6}}}]"
    )
    assert reported == ["the step has `commands`, but the model was not asked about its message"]


def test_conversations_can_be_selected_by_name():
    source = HEAD + "    steps: [{say: x}]\n  - name: two\n    steps: [{say: x}]\n"
    assert [each.name for each in run_conversations(source, "c.yaml", LIBRARY.get, "tw")] == ["two"]


MISTAKES = [
    ("flow: f\nnow: 2026-11-24T10:00\n", "missing-key", "conversations"),
    (HEAD + "    steps: []\n", "bad-value", "at least 1"),
    (HEAD + "    steps: [{sya: x}]\n", "unknown-key", "sya"),
    (HEAD + "    steps: [{say: x, wait: 5m}]\n", "bad-value", "one of say, event, wait, at"),
    (HEAD + "    steps: [{wait: long}]\n", "bad-value", "long"),
    (HEAD + "    steps: [{wait: 5m, commands: [help]}]\n", "bad-value", "`commands` needs `say`"),
    (HEAD + "    steps: [{say: x, expect: {staet: a}}]\n", "unknown-key", "staet"),
    (HEAD.replace("2026-11-24T10:00", "soon") + "    steps: [{say: x}]\n", "wrong-type", "now"),
    (HEAD + "    steps: [{expect: {reply: /(/}}]\n", "bad-value", "not a valid regular expression"),
    (
        HEAD + "    steps: [{expect: {not_reply: {matches: '['}}}]\n",
        "bad-value",
        "not a valid regular expression",
    ),
    (HEAD + "    steps: [{expect: {reply: {exact: x}}}]\n", "unknown-key", "exact"),
    (HEAD + "    steps: [{expect: {reply: {holds: x, exactly: x}}}]\n", "bad-value", "one of holds"),
    (HEAD + "    tools: {t: [{result: 1, error: x}]}\n    steps: [{say: x}]\n", "bad-value", "one of result"),
    ("- 1\n", "wrong-type", "the file"),
    ("flow: [", "syntax", "YAML"),
    ("a: b\n" * 900_000, "too-large", "characters"),
    ("".join(f"k{at}: 1\n" for at in range(500)), "too-many", "more than 100 errors"),
]


@pytest.mark.parametrize(("source", "code", "says"), MISTAKES, ids=[code for _, code, _ in MISTAKES])
def test_an_invalid_file_is_rejected_with_positions(source, code, says):
    with pytest.raises(InvalidConversationFile) as error:
        run_conversations(source, "c.yaml", LIBRARY.get)
    found = [each for each in error.value.diagnostics if each.code == code]
    assert found, error.value.diagnostics
    assert says in found[0].message
    assert found[0].line >= 1


def test_an_unknown_flow_is_an_error():
    with pytest.raises(FlowNotFound):
        run_conversations(
            HEAD.replace("flow: f", "flow: g") + "    steps: [{say: x}]\n", "c.yaml", LIBRARY.get
        )


def test_invalid_initial_values_are_an_error():
    with pytest.raises(SlotValidationError):
        run("slots: {n: many}\nsteps: [{say: x}]")
