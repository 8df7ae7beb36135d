"""Messages, tools and media are encoded for Anthropic."""

from __future__ import annotations

import re

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import REASONING_EFFORT_HIGH, ToolChoice
from clawdbot_model_gateway.formats.anthropic.models import ModelProfile
from clawdbot_model_gateway.formats.anthropic.request import DEFAULT_MAX_TOKENS
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.anthropic_requests import body, encode
from tests.support.generate_requests import asks, calling, says, tool


def conversation(*messages):
    return body(asks(*messages))["messages"]


def blocks(*parts, role=ROLE_USER):
    speaker = "assistant" if role == ROLE_ASSISTANT else "user"
    turns = conversation(Message(role=role, parts=parts))
    return [turn for turn in turns if turn["role"] == speaker][-1]["content"]


def answers(*parts, role=ROLE_TOOL):
    """The blocks that answer the call t1."""
    return conversation("x", calling("t1"), Message(role=role, parts=parts))[2]["content"]


def unsupported(*parts, role=ROLE_USER, before="x"):
    request = asks(before, Message(role=role, parts=parts))
    fields = encode(request)[1]
    request.strict = True
    with pytest.raises(InvalidRequest):
        encode(request)
    return fields


# Messages


def test_a_question_is_a_user_turn_and_the_request_streams():
    assert body(asks("Hi")) == {
        "model": "claude",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": DEFAULT_MAX_TOKENS,
        "stream": True,
    }


def test_instructions_anywhere_in_the_conversation_become_the_system_prompt():
    wire = body(asks(says("Be brief.", ROLE_SYSTEM), "Hi", says("Be kind.", ROLE_SYSTEM)))
    assert [each["text"] for each in wire["system"]] == ["Be brief.", "Be kind."]
    assert len(wire["messages"]) == 1


def test_neighbouring_messages_of_one_role_are_one_turn():
    assert [each["role"] for each in conversation("a", "b", says("c", ROLE_ASSISTANT), "d")] == [
        "user",
        "assistant",
        "user",
    ]


def test_an_empty_reply_is_left_out():
    assert len(conversation("a", says("", ROLE_ASSISTANT), "b")) == 1


def test_a_speakers_name_gives_a_warning():
    assert encode(asks(Message(role=ROLE_USER, name="Ann", parts=[Part(text="Hi")])))[1] == [
        "messages[0].name"
    ]


# Thinking


def test_thinking_goes_back_as_it_came():
    parts = [
        Part(reasoning=Reasoning(text="hm", signature=b"c2ln")),
        Part(reasoning=Reasoning(signature=b"b25seQ==")),
        Part(reasoning=Reasoning(signature=b"cmVk", redacted=True)),
        Part(text="Hi."),
    ]
    assert blocks(*parts, role=ROLE_ASSISTANT)[:3] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "thinking", "thinking": "", "signature": "b25seQ=="},
        {"type": "redacted_thinking", "data": "cmVk"},
    ]


@pytest.mark.parametrize("signature", [b"", b"\xff\x00", b"not base64!"])
def test_thinking_without_a_valid_signature_is_left_out_with_a_warning(signature):
    reasoning = Part(reasoning=Reasoning(text="hm", signature=signature))
    wire, warnings = encode(asks("x", Message(role=ROLE_ASSISTANT, parts=[reasoning, Part(text="Hi")])))
    assert [each["type"] for each in wire["messages"][1]["content"]] == ["text"]
    assert warnings == ["messages[1].parts[0].reasoning"]


# Tools


def test_a_tool_has_an_allowed_name():
    wire = body(asks(tools=[tool("tables.reserve", "Books.", people={"type": "integer", "minimum": 1})]))
    assert wire["tools"] == [
        {
            "name": "tables_reserve",
            "description": "Books.",
            "input_schema": {
                "type": "object",
                "properties": {"people": {"type": "integer", "minimum": 1}},
            },
        }
    ]


def test_a_tool_without_a_schema_takes_no_arguments():
    bare = tool("clock.now")
    bare.ClearField("input_schema")
    assert body(asks(tools=[bare]))["tools"] == [
        {"name": "clock_now", "input_schema": {"type": "object", "properties": {}}}
    ]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), None),
        (ToolChoice(mode=ToolChoice.MODE_AUTO), {"type": "auto"}),
        (ToolChoice(mode=ToolChoice.MODE_NONE), {"type": "none"}),
        (ToolChoice(mode=ToolChoice.MODE_NONE, disable_parallel=True), {"type": "none"}),
        (ToolChoice(mode=ToolChoice.MODE_REQUIRED), {"type": "any"}),
        (ToolChoice(mode=ToolChoice.MODE_NAMED, name="clock.now"), {"type": "tool", "name": "clock_now"}),
        (ToolChoice(disable_parallel=True), {"type": "auto", "disable_parallel_tool_use": True}),
        (
            ToolChoice(mode=ToolChoice.MODE_REQUIRED, disable_parallel=True),
            {"type": "any", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_each_tool_choice_is_encoded(choice, wire):
    assert body(asks(tools=[tool("clock.now")], tool_choice=choice)).get("tool_choice") == wire


def call(call_id, name="tables.reserve", **arguments):
    tool_call = ToolCall(id=call_id, name=name)
    tool_call.arguments.update(arguments)
    return Part(tool_call=tool_call)


def result(call_id, *content, **more):
    return Part(tool_result=ToolResult(call_id=call_id, content=content, **more))


def test_all_calls_of_a_turn_and_all_their_results_are_one_turn_each():
    turns = conversation(
        "A table",
        Message(role=ROLE_ASSISTANT, parts=[Part(text="So."), call("t1", people=4), call("t2", people=2)]),
        Message(role=ROLE_TOOL, parts=[result("t1", Part(text="Booked"))]),
        Message(role=ROLE_TOOL, parts=[result("t2", Part(text="Full"), is_error=True)]),
    )
    assert turns[1]["content"][1:] == [
        {"type": "tool_use", "id": "t1", "name": "tables_reserve", "input": {"people": 4}},
        {"type": "tool_use", "id": "t2", "name": "tables_reserve", "input": {"people": 2}},
    ]
    assert turns[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Booked"}]},
            {
                "type": "tool_result",
                "tool_use_id": "t2",
                "content": [{"type": "text", "text": "Full"}],
                "is_error": True,
            },
        ],
    }


def test_an_image_that_a_tool_returned_stays_in_its_result():
    image = Part(image=Media(data=b"png", media_type="image/png"))
    (block,) = answers(result("t1", Part(text="A map"), image))
    source = {"type": "base64", "media_type": "image/png", "data": "cG5n"}
    assert block["content"] == [{"type": "text", "text": "A map"}, {"type": "image", "source": source}]


def test_results_come_before_other_parts_of_a_users_turn():
    parts = [Part(text="And?"), result("t1", Part(text="Booked"))]
    assert [each["type"] for each in answers(*parts, role=ROLE_USER)] == ["tool_result", "text"]


def test_a_result_may_be_an_image_or_data_or_nothing():
    image = result("t1", Part(image=Media(data=b"png", media_type="image/png")))
    assert answers(image)[0]["content"][0]["type"] == "image"
    data = result("t1")
    data.tool_result.structured.update({"ok": True})
    assert answers(data)[0]["content"] == [{"type": "text", "text": '{"ok":true}'}]
    assert answers(result("t1")) == [{"type": "tool_result", "tool_use_id": "t1"}]


def test_other_vendors_ids_are_sanitized_the_same_way_in_call_and_result():
    _, called, returned = conversation(
        Message(role=ROLE_ASSISTANT, parts=[call("functions.reserve:0")]),
        Message(role=ROLE_TOOL, parts=[result("functions.reserve:0", Part(text="Booked"))]),
    )
    assert called["content"][0]["id"] == returned["content"][0]["tool_use_id"] == "functions_reserve_0"


# Media


@pytest.mark.parametrize(
    "ids", [("a", "a"), ("a.b", "a_b"), ("a_b", "a.b"), ("a:0", "a 0"), ("x" * 65, "x" * 66), ("é", "ü")]
)
def test_each_call_has_an_id_of_its_own_that_its_result_repeats(ids):
    turns = conversation(
        *(
            Message(role=role, parts=[part])
            for each in ids
            for role, part in ((ROLE_ASSISTANT, call(each)), (ROLE_TOOL, result(each, Part(text="Booked"))))
        )
    )
    called, returned = (
        [block[name] for turn in turns for block in turn["content"] if name in block]
        for name in ("id", "tool_use_id")
    )
    assert called == returned
    assert len({*called}) == 2
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", each) for each in called)


def test_images_are_data_or_urls():
    parts = [
        Part(image=Media(data=b"png", media_type="image/png")),
        Part(image=Media(uri="data:image/gif;base64,R0lG")),
        Part(image=Media(uri="https://a.example/b.jpg")),
    ]
    assert [each["source"] for each in blocks(*parts)] == [
        {"type": "base64", "media_type": "image/png", "data": "cG5n"},
        {"type": "base64", "media_type": "image/gif", "data": "R0lG"},
        {"type": "url", "url": "https://a.example/b.jpg"},
    ]


def test_documents_are_pdf_or_text_or_urls():
    parts = [
        Part(document=Document(data=b"%PDF", media_type="application/pdf", title="Menu")),
        Part(document=Document(data="你好".encode(), media_type="text/markdown")),
        Part(document=Document(uri="https://a.example/b.pdf")),
    ]
    assert blocks(*parts) == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            "title": "Menu",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "你好"}},
        {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
    ]


def test_media_that_the_api_does_not_take_give_warnings():
    parts = [
        Part(audio=Media(data=b"x", media_type="audio/wav")),
        Part(image=Media(data=b"x", media_type="image/tiff")),
        Part(image=Media(uri="gs://a/b.png")),
        Part(document=Document(data=b"x", media_type="application/msword")),
        Part(document=Document(data=b"\xff", media_type="text/plain")),
        result("t1", Part(audio=Media(data=b"x", media_type="audio/wav"))),
    ]
    assert unsupported(*parts, before=calling("t1")) == [
        "messages[1].parts[0].audio",
        "messages[1].parts[1].image",
        "messages[1].parts[2].image",
        "messages[1].parts[3].document",
        "messages[1].parts[4].document",
        "messages[1].parts[5].tool_result.content[0]",
    ]


def test_only_a_users_message_may_contain_images():
    image = Part(image=Media(data=b"png", media_type="image/png"))
    assert unsupported(image, role=ROLE_ASSISTANT) == ["messages[1].parts[0].image"]


# Thinking and calls that other models made


def turn_of(*parts):
    result = Part(tool_result=ToolResult(call_id="c1", content=[Part(text="noon")]))
    return asks(
        "When?",
        Message(role=ROLE_ASSISTANT, parts=[*parts, Part(tool_call=ToolCall(id="c1", name="clock.now"))]),
        Message(role=ROLE_TOOL, parts=[result]),
        sampling={"reasoning_effort": REASONING_EFFORT_HIGH, "max_tokens": 9000},
    )


BUDGETED = ModelProfile(budgeted_thinking=True, adaptive_thinking=False)
OWN = Part(reasoning=Reasoning(text="hm", signature=b"c2ln"))


@pytest.mark.parametrize("foreign", [[], [Part(text="Let me see.")]])
def test_a_model_is_not_made_to_think_after_a_call_that_it_did_not_make(foreign):
    wire, warnings = encode(turn_of(*foreign), BUDGETED)
    assert "thinking" not in wire
    assert warnings == ["sampling.reasoning_effort"]


def test_a_model_thinks_on_after_its_own_call_and_in_the_next_turn():
    assert "thinking" in encode(turn_of(OWN), BUDGETED)[0]
    later = turn_of()
    later.messages.append(Message(role=ROLE_ASSISTANT, parts=[Part(text="Noon.")]))
    later.messages.append(Message(role=ROLE_USER, parts=[Part(text="Thanks")]))
    assert "thinking" in encode(later, BUDGETED)[0]


def test_the_beginning_of_a_reply_does_not_end_in_white_space():
    request = asks("Count", Message(role=ROLE_ASSISTANT, parts=[Part(text="One, two, ")]))
    wire, _ = encode(request, BUDGETED)
    assert wire["messages"][-1]["content"] == [{"type": "text", "text": "One, two,"}]


@pytest.mark.parametrize("more", [[], [says("Speak now.", ROLE_SYSTEM)]])
@pytest.mark.parametrize("profile", [ModelProfile(), BUDGETED])
def test_a_model_that_is_given_no_beginning_answers_the_user(profile, more):
    effort = {} if profile.adaptive_thinking else {"reasoning_effort": REASONING_EFFORT_HIGH}
    wire, warnings = encode(asks("Hi", says("Hello.", ROLE_ASSISTANT), *more, sampling=effort), profile)
    assert [each["role"] for each in wire["messages"]] == ["user", "assistant", "user"]
    assert wire["messages"][-1]["content"] == [{"type": "text", "text": "(continue)"}]
    assert warnings == []


@pytest.mark.parametrize("instructions", [[], [says("Be brief.", ROLE_SYSTEM)]])
@pytest.mark.parametrize(
    "first",
    [[says("Hello!", ROLE_ASSISTANT)], [calling("c1"), Message(role=ROLE_TOOL, parts=[result("c1")])]],
)
def test_the_user_is_the_first_to_speak(instructions, first):
    sent = conversation(*instructions, *first, says("Hi"))
    assert [each["role"] for each in sent] == ["user", "assistant", "user"]
    assert sent[0]["content"] == [{"type": "text", "text": "(the conversation begins)"}]
