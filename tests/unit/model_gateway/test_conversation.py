"""A conversation is put into a form that every vendor takes."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
    ToolCall,
    ToolResult,
)
from clawdbot_model_gateway.formats.conversation import EMPTY_MESSAGE, NO_RESULT, prepare, with_question

from tests.support.generate_requests import says


def calls(*ids):
    return Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=ToolCall(id=each, name="t")) for each in ids])


def results(*ids, role=ROLE_TOOL, text=""):
    parts = [Part(tool_result=ToolResult(call_id=each)) for each in ids]
    return Message(role=role, parts=[*parts, *([Part(text=text)] if text else [])])


def shown(messages):
    """Each message as one word: its text, its calls or its results."""
    return [
        "+".join(
            part.text or (part.tool_call.id and f"call {part.tool_call.id}") or part.tool_result.call_id
            for part in message.parts
        )
        for _, message in prepare(messages)
    ]


@pytest.mark.parametrize(
    ("messages", "order"),
    [
        ((calls("a", "b"), results("a"), says("hurry"), results("b")), ["call a+call b", "a", "b", "hurry"]),
        ((calls("a"), says("hurry"), results("a")), ["call a", "a", "hurry"]),
        (
            (
                calls("a", "b"),
                results("a"),
                says("wait", ROLE_ASSISTANT),
                says("hm"),
                results("b"),
                says("x"),
            ),
            ["call a+call b", "a", "b", "wait", "hm", "x"],
        ),
        (
            (calls("a", "b"), results("a", role=ROLE_USER, text="hurry"), results("b")),
            ["call a+call b", "a", "b", "hurry"],
        ),
        (
            (calls("a"), says("never mind"), calls("b"), results("b")),
            ["call a", "a", "never mind", "call b", "b"],
        ),
        (
            (calls("a"), results("a"), says("x"), calls("b"), results("b")),
            ["call a", "a", "x", "call b", "b"],
        ),
        ((calls("a"), says("never mind"), says("hm")), ["call a", "a", "never mind", "hm"]),
    ],
)
def test_results_come_right_after_their_calls(messages, order):
    assert shown(messages) == order


@pytest.mark.parametrize("blank", ["", " ", "\n\t ", "\u00a0\u3000"])
def test_a_message_that_says_nothing_is_not_sent_unless_a_person_waits_for_an_answer(blank):
    assert shown([says(blank, ROLE_SYSTEM), says("Hi"), says(blank, ROLE_ASSISTANT), says(blank)]) == [
        "Hi",
        EMPTY_MESSAGE,
    ]
    assert shown([says(blank, ROLE_ASSISTANT)]) == [EMPTY_MESSAGE]


def test_instructions_alone_are_asked_by_the_user():
    assert [each.role for _, each in with_question(prepare([says("A", ROLE_SYSTEM)]))] == [ROLE_USER]
    two = with_question(prepare([says("A", ROLE_SYSTEM), says("B", ROLE_SYSTEM)]))
    assert [each.role for _, each in two] == [ROLE_SYSTEM, ROLE_USER]
    asked = [says("A", ROLE_SYSTEM), says("B")]
    assert [each.role for _, each in with_question(prepare(asked))] == [ROLE_SYSTEM, ROLE_USER]


def test_paths_keep_the_positions_of_the_request():
    sent = prepare([says(" ", ROLE_ASSISTANT), calls("a"), says("hm"), results("a")])
    assert [index for index, _ in sent] == [1, 3, 2]


def test_the_request_is_not_changed():
    messages = [calls("a", "b"), results("a", role=ROLE_USER, text="hurry"), says(" "), results("b")]
    before = [each.SerializeToString() for each in messages]
    with_question(prepare(messages))
    assert [each.SerializeToString() for each in messages] == before


# Calls with one id


def pairs(messages):
    """The position of each call and the text of its result, by their ids after preparation."""
    found, texts = {}, {}
    for index, message in prepare(messages):
        for part in message.parts:
            if part.HasField("tool_call"):
                assert part.tool_call.id not in found, "each id is unique"
                found[part.tool_call.id] = index
            elif part.HasField("tool_result"):
                assert part.tool_result.call_id not in texts, "each call has one result"
                content = part.tool_result.content
                texts[part.tool_result.call_id] = content[0].text if content else ""
    assert list(found) == list(texts), "results are in the order of their calls"
    return [(index, texts[call_id]) for call_id, index in found.items()]


def answers(call_id, *texts, role=ROLE_TOOL):
    """Results of calls with this id, in one message."""
    parts = [Part(tool_result=ToolResult(call_id=call_id, content=[Part(text=each)])) for each in texts]
    return Message(role=role, parts=parts)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((calls("a"), answers("a", "1"), calls("a"), answers("a", "2")), [(0, "1"), (2, "2")]),
        ((calls("a", "a"), answers("a", "1", "2")), [(0, "1"), (0, "2")]),
        ((calls("a", "a"), answers("a", "1"), answers("a", "2")), [(0, "1"), (0, "2")]),
        ((calls("a", "a"), answers("a", "1"), says("hm"), answers("a", "2")), [(0, "1"), (0, "2")]),
        ((calls("a", "a"), answers("a", "1")), [(0, "1"), (0, NO_RESULT)]),
        # The first call was interrupted, and the model counts anew in its next reply.
        ((calls("a"), says("stop"), calls("a"), answers("a", "2")), [(0, NO_RESULT), (2, "2")]),
        ((calls("a", "a"), says("stop"), calls("a"), answers("a", "2")), [*[(0, NO_RESULT)] * 2, (2, "2")]),
        (
            (calls("a"), answers("a", "1"), calls("a"), answers("a", "2"), calls("a"), answers("a", "3")),
            [(0, "1"), (2, "2"), (4, "3")],
        ),
        (
            (calls("a"), answers("a", "1", role=ROLE_USER), calls("a"), answers("a", "2")),
            [(0, "1"), (2, "2")],
        ),
    ],
)
def test_calls_that_share_an_id_get_ids_of_their_own_and_keep_their_results(messages, expected):
    before = [each.SerializeToString() for each in messages]
    assert pairs(messages) == expected
    assert [each.SerializeToString() for each in messages] == before


def test_the_first_call_keeps_its_id_and_the_others_get_the_same_each_time():
    turn = [calls("a"), answers("a", "1")]
    ids = [part.tool_call.id for _, message in prepare([*turn, *turn, *turn]) for part in message.parts[:1]]
    again = [part.tool_call.id for _, message in prepare([*turn, *turn]) for part in message.parts[:1]]
    assert ids[0] == "a"
    assert ids[:4] == again


def test_other_ids_stay_as_they_are():
    messages = [calls("a", "b"), results("a", "b"), calls("a", "c"), results("a", "c")]
    ids = [part.tool_call.id for _, message in prepare(messages) for part in message.parts]
    assert (ids[:2], ids[5]) == (["a", "b"], "c")
