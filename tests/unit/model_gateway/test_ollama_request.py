"""What goes to Ollama for a request of ours."""

from __future__ import annotations

import base64
import json

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
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_NONE,
    JsonFormat,
    JsonSchemaFormat,
    ResponseFormat,
    TextFormat,
    ToolChoice,
)
from clawdbot_model_gateway.formats.ollama.models import ModelFacts
from clawdbot_model_gateway.formats.ollama.request import RequestWriter, Usual
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.generating import asks, says, tool

THINKS = ModelFacts(thinks=True)
BY_DEGREES = ModelFacts(thinks=True, thinks_by_degrees=True)
PNG = b"\x89PNG\r\n"


def written(request, facts=ModelFacts(), **usual):  # noqa: B008 - frozen
    encoded = RequestWriter("ollama", Usual(**usual)).write(request, "qwen3", facts)
    return json.loads(encoded.body), [each.field for each in encoded.warnings]


def body(request, facts=ModelFacts(), **usual):  # noqa: B008 - frozen
    wire, warnings = written(request, facts, **usual)
    assert warnings == []
    return wire


def messages(*given):
    return body(asks(*given))["messages"]


def message(role, *parts, **more):
    return Message(role=role, parts=parts, **more)


def test_a_conversation_is_sent_as_it_was_said():
    request = asks(says("Be brief.", ROLE_SYSTEM), "Hello", says("Hi.", ROLE_ASSISTANT), "Bye")
    assert body(request) == {
        "model": "qwen3",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "Bye"},
        ],
    }


def test_sampling_is_in_options_under_ollamas_names():
    sampling = {
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["a", "b"],
        "seed": 0,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
    }
    options = body(asks(sampling=sampling))["options"]
    assert options.pop("num_predict") == sampling.pop("max_tokens")
    assert options == sampling
    assert "options" not in body(asks())


def test_the_backends_defaults_hold_where_a_request_says_nothing():
    usual = {"options": {"num_ctx": 8192, "temperature": 0.7}, "body": {"keep_alive": "10m"}}
    assert body(asks(sampling={"temperature": 0.0}), **usual)["options"] == {
        "num_ctx": 8192,
        "temperature": 0.0,
    }
    assert body(asks(), **usual)["keep_alive"] == "10m"


# Tools


def test_tools_are_offered_under_names_that_every_template_takes():
    wire = body(
        asks(tools=[tool("tables.reserve", "Books.", people={"type": "integer", "minimum": 1}), tool("now")])
    )
    assert wire["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "tables_reserve",
                "description": "Books.",
                "parameters": {
                    "type": "object",
                    "properties": {"people": {"type": "integer", "minimum": 1}},
                },
            },
        },
        {
            "type": "function",
            "function": {
                "name": "now",
                "description": "",
                "parameters": {"type": "object", "properties": {}},
            },
        },
    ]


def test_calls_and_their_results_go_back_with_what_was_thought_between():
    call = ToolCall(id="c1", name="tables.reserve")
    call.arguments.update({"people": 4})
    wire = messages(
        "A table",
        message(ROLE_ASSISTANT, Part(reasoning=Reasoning(text="They want one.")), Part(tool_call=call)),
        message(ROLE_TOOL, Part(tool_result=ToolResult(call_id="c1", content=[Part(text="Booked.")]))),
    )
    assert wire[1:] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "They want one.",
            "tool_calls": [
                {"id": "c1", "function": {"index": 0, "name": "tables_reserve", "arguments": {"people": 4}}}
            ],
        },
        {"role": "tool", "content": "Booked.", "tool_call_id": "c1", "tool_name": "tables_reserve"},
    ]


def test_several_results_are_several_messages_and_empty_ones_say_so():
    structured = ToolResult(call_id="c3", name="now")
    structured.structured.update({"hour": 7})
    wire = messages(
        "Go",
        message(
            ROLE_TOOL,
            Part(tool_result=ToolResult(call_id="c1", name="now")),
            Part(tool_result=ToolResult(call_id="c2", name="now", is_error=True)),
            Part(tool_result=structured),
        ),
    )
    assert [each["content"] for each in wire[1:]] == [
        "(no output)",
        "The tool failed and said nothing.",
        '{"hour":7}',
    ]


def test_no_tool_may_be_called_where_none_is_offered():
    request = asks(tools=[tool("now")], tool_choice=ToolChoice(mode=ToolChoice.MODE_NONE))
    assert "tools" not in body(request)


@pytest.mark.parametrize(
    ("choice", "fields"),
    [
        (ToolChoice(mode=ToolChoice.MODE_REQUIRED), ["tool_choice"]),
        (ToolChoice(mode=ToolChoice.MODE_NAMED, name="now"), ["tool_choice"]),
        (ToolChoice(disable_parallel=True), ["tool_choice.disable_parallel"]),
        (ToolChoice(mode=ToolChoice.MODE_AUTO), []),
    ],
)
def test_a_choice_of_tools_has_no_place_and_is_told(choice, fields):
    wire, warnings = written(asks(tools=[tool("now")], tool_choice=choice))
    assert (warnings, len(wire["tools"])) == (fields, 1)


# The form of the reply


def test_json_is_asked_for_by_word_and_a_schema_by_itself():
    schema = JsonSchemaFormat(name="age")
    schema.schema.update({"type": "object", "properties": {"age": {"type": "integer"}}})
    assert body(asks(response_format=ResponseFormat(json=JsonFormat())))["format"] == "json"
    assert body(asks(response_format=ResponseFormat(json_schema=schema)))["format"] == {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
    }
    assert "format" not in body(asks(response_format=ResponseFormat(text=TextFormat())))


@pytest.mark.parametrize(
    ("effort", "facts", "think"),
    [
        (REASONING_EFFORT_NONE, ModelFacts(), False),
        (REASONING_EFFORT_NONE, THINKS, False),
        (REASONING_EFFORT_LOW, THINKS, True),
        (REASONING_EFFORT_LOW, BY_DEGREES, "low"),
        (REASONING_EFFORT_HIGH, BY_DEGREES, "high"),
    ],
)
def test_how_much_to_think_is_said_as_the_model_takes_it(effort, facts, think):
    assert body(asks(sampling={"reasoning_effort": effort}), facts)["think"] == think


def test_a_model_that_does_not_think_is_not_asked_to_and_it_is_told():
    wire, warnings = written(asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}))
    assert "think" not in wire
    assert warnings == ["sampling.reasoning_effort"]


# Media


def test_pictures_are_sent_as_data_beside_the_text():
    encoded = base64.b64encode(PNG).decode()
    picture = Part(image=Media(data=PNG, media_type="image/png"))
    url = Part(image=Media(uri=f"data:image/png;base64,{encoded}"))
    wire = messages(message(ROLE_USER, Part(text="What is it?"), picture, url))
    assert wire == [{"role": "user", "content": "What is it?", "images": [encoded, encoded]}]


def test_a_picture_that_a_tool_returned_is_shown_after_its_results_as_a_users():
    picture = Part(image=Media(data=PNG, media_type="image/png"))
    result = message(ROLE_TOOL, Part(tool_result=ToolResult(call_id="c1", content=[picture])))
    wire = messages(result, message(ROLE_USER, Part(text="What is on it?")))
    assert [each["role"] for each in wire] == ["tool", "user", "user"]
    assert wire[1]["images"] == [base64.b64encode(PNG).decode()]


def test_a_document_of_text_is_written_out():
    document = Document(data="Prix: 5 €".encode(), media_type="text/plain", title="menu.txt")
    (wire,) = messages(message(ROLE_USER, Part(document=document), Part(text="How much?")))
    assert wire["content"] == "menu.txt:\nPrix: 5 €\nHow much?"


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (Part(image=Media(uri="https://example.com/a.png")), "image"),
        (Part(image=Media(uri="data:image/png;base64,%%%")), "image"),
        (Part(image=Media(uri="data:,text")), "image"),
        (Part(audio=Media(data=b"x", media_type="audio/wav")), "audio"),
        (Part(document=Document(data=b"%PDF", media_type="application/pdf")), "document"),
        (Part(document=Document(data=b"\xff", media_type="text/plain")), "document"),
        (Part(document=Document(uri="https://example.com/a.txt")), "document"),
    ],
)
def test_what_has_no_place_is_left_out_and_told_or_refused(part, kind):
    request = asks(message(ROLE_USER, Part(text="Look"), part))
    wire, warnings = written(request)
    assert wire["messages"] == [{"role": "user", "content": "Look"}]
    assert warnings == [f"messages[0].parts[1].{kind}"]
    request.strict = True
    with pytest.raises(InvalidRequest):
        written(request)


def test_names_and_media_of_results_are_told():
    result = ToolResult(
        call_id="c", name="now", content=[Part(audio=Media(data=b"x", media_type="audio/wav"))]
    )
    _, warnings = written(
        asks(
            "Go", message(ROLE_TOOL, Part(tool_result=result)), message(ROLE_USER, Part(text="x"), name="Ann")
        )
    )
    assert warnings == ["messages[1].parts[0].tool_result.content[0]", "messages[2].name"]


def test_a_thought_that_was_withheld_is_of_no_use_elsewhere():
    thought = Part(reasoning=Reasoning(signature=b"proof", redacted=True))
    assert messages("Hi", message(ROLE_ASSISTANT, thought), "Bye") == [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ]


# What only Ollama has


def test_provider_options_are_fields_and_in_options_those_of_the_model():
    request = asks(sampling={"temperature": 0.5, "top_k": 4})
    request.provider_options.update({"keep_alive": 0, "options": {"mirostat": 2, "top_k": 9}})
    wire = body(request)
    assert wire["keep_alive"] == 0
    assert wire["options"] == {"temperature": 0.5, "top_k": 9, "mirostat": 2}


@pytest.mark.parametrize("own", [{"model": "x"}, {"messages": []}, {"stream": False}, {"options": 3}])
def test_provider_options_do_not_touch_what_the_reply_looks_like(own):
    request = asks()
    request.provider_options.update(own)
    with pytest.raises(InvalidRequest):
        written(request)
