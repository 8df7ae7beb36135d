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
from clawdbot_model_gateway.formats.conversation import EMPTY_MESSAGE, prepare, with_question

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
