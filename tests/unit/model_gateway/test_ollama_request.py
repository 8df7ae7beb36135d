"""Our requests are encoded for Ollama."""

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
from clawdbot_model_gateway.formats.ollama.models import ModelProfile
from clawdbot_model_gateway.formats.ollama.request import RequestDefaults, RequestEncoder
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.generate_requests import asks, calling, says, tool

THINKS = ModelProfile(thinks=True)
TAKES_EFFORT = ModelProfile(thinks=True, takes_effort=True)
PNG = b"\x89PNG\r\n"


def encode(request, profile=ModelProfile(), **defaults):  # noqa: B008 - frozen
    encoded = RequestEncoder("ollama", RequestDefaults(**defaults)).encode(request, "qwen3", profile)
    return json.loads(encoded.body), [each.field for each in encoded.warnings]


def body(request, profile=ModelProfile(), **defaults):  # noqa: B008 - frozen
    wire, warnings = encode(request, profile, **defaults)
    assert warnings == []
    return wire


def messages(*conversation):
    return body(asks(*conversation))["messages"]


def message(role, *parts, **more):
    return Message(role=role, parts=parts, **more)


def test_a_conversation_is_sent_in_order():
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


def test_the_backends_defaults_apply_to_unset_fields():
    defaults = {"options": {"num_ctx": 8192, "temperature": 0.7}, "body": {"keep_alive": "10m"}}
    assert body(asks(sampling={"temperature": 0.0}), **defaults)["options"] == {
        "num_ctx": 8192,
        "temperature": 0.0,
    }
    assert body(asks(), **defaults)["keep_alive"] == "10m"


# Tools


def test_tools_have_names_that_every_template_takes():
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


def test_calls_and_their_results_go_back_with_the_reasoning_between_them():
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


def test_results_of_calls_that_share_an_id_name_their_own_tools():
    def turn(name):
        call = Part(tool_call=ToolCall(id="c", name=name))
        answer = Part(tool_result=ToolResult(call_id="c", content=[Part(text=name)]))
        return message(ROLE_ASSISTANT, call), message(ROLE_TOOL, answer)

    wire = messages("Hi", *turn("clock.now"), *turn("tables.reserve"))
    results = [each for each in wire if each["role"] == "tool"]
    assert [each["tool_name"] for each in results] == ["clock_now", "tables_reserve"]
    assert len({each["tool_call_id"] for each in results}) == 2


def test_each_result_is_a_message_and_an_empty_one_says_so():
    structured = ToolResult(call_id="c3", name="now")
    structured.structured.update({"hour": 7})
    wire = messages(
        calling("c1", "c2", "c3"),
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


def test_mode_none_sends_no_tools():
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
def test_other_tool_choices_give_warnings(choice, fields):
    wire, warnings = encode(asks(tools=[tool("now")], tool_choice=choice))
    assert (warnings, len(wire["tools"])) == (fields, 1)


# Response formats and thinking


def test_json_is_the_word_json_and_a_schema_is_sent_as_it_is():
    schema = JsonSchemaFormat(name="age")
    schema.schema.update({"type": "object", "properties": {"age": {"type": "integer"}}})
    assert body(asks(response_format=ResponseFormat(json=JsonFormat())))["format"] == "json"
    assert body(asks(response_format=ResponseFormat(json_schema=schema)))["format"] == {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
    }
    assert "format" not in body(asks(response_format=ResponseFormat(text=TextFormat())))


@pytest.mark.parametrize(
    ("effort", "profile", "think"),
    [
        (REASONING_EFFORT_NONE, ModelProfile(), False),
        (REASONING_EFFORT_NONE, THINKS, False),
        (REASONING_EFFORT_LOW, THINKS, True),
        (REASONING_EFFORT_LOW, TAKES_EFFORT, "low"),
        (REASONING_EFFORT_HIGH, TAKES_EFFORT, "high"),
    ],
)
def test_think_is_sent_in_the_form_that_the_model_takes(effort, profile, think):
    assert body(asks(sampling={"reasoning_effort": effort}), profile)["think"] == think


def test_an_effort_for_a_model_that_cannot_think_gives_a_warning():
    wire, warnings = encode(asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}))
    assert "think" not in wire
    assert warnings == ["sampling.reasoning_effort"]


# Media


def test_images_are_sent_as_data_next_to_the_text():
    encoded = base64.b64encode(PNG).decode()
    image = Part(image=Media(data=PNG, media_type="image/png"))
    url = Part(image=Media(uri=f"data:image/png;base64,{encoded}"))
    wire = messages(message(ROLE_USER, Part(text="What is it?"), image, url))
    assert wire == [{"role": "user", "content": "What is it?", "images": [encoded, encoded]}]


def test_an_image_that_a_tool_returned_follows_its_results_as_a_users_message():
    image = Part(image=Media(data=PNG, media_type="image/png"))
    result = message(ROLE_TOOL, Part(tool_result=ToolResult(call_id="c1", content=[image])))
    wire = messages(calling("c1"), result, message(ROLE_USER, Part(text="What is on it?")))
    assert [each["role"] for each in wire] == ["assistant", "tool", "user", "user"]
    assert wire[2]["images"] == [base64.b64encode(PNG).decode()]


def test_a_text_document_becomes_part_of_the_text():
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
def test_unsupported_media_are_left_out_with_a_warning_or_refused(part, kind):
    request = asks(message(ROLE_USER, Part(text="Look"), part))
    wire, warnings = encode(request)
    assert wire["messages"] == [{"role": "user", "content": "Look"}]
    assert warnings == [f"messages[0].parts[1].{kind}"]
    request.strict = True
    with pytest.raises(InvalidRequest):
        encode(request)


def test_speakers_names_and_media_in_results_give_warnings():
    result = ToolResult(
        call_id="c", name="now", content=[Part(audio=Media(data=b"x", media_type="audio/wav"))]
    )
    _, warnings = encode(
        asks(
            calling("c"),
            message(ROLE_TOOL, Part(tool_result=result)),
            message(ROLE_USER, Part(text="x"), name="Ann"),
        )
    )
    assert warnings == ["messages[1].parts[0].tool_result.content[0]", "messages[2].name"]


def test_redacted_reasoning_is_left_out():
    redacted = Part(reasoning=Reasoning(signature=b"signature", redacted=True))
    wire, warnings = encode(asks("Hi", message(ROLE_ASSISTANT, redacted), "Bye"))
    assert wire["messages"] == [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Bye"}]
    assert warnings == ["messages[1].parts[0].reasoning"]


# Provider options


def test_provider_options_are_fields_of_the_body_and_of_the_models_options():
    request = asks(sampling={"temperature": 0.5, "top_k": 4})
    request.provider_options.update({"keep_alive": 0, "options": {"mirostat": 2, "top_k": 9}})
    wire = body(request)
    assert wire["keep_alive"] == 0
    assert wire["options"] == {"temperature": 0.5, "top_k": 9, "mirostat": 2}


def test_tools_in_the_options_are_added_to_the_requests():
    request = asks(tools=[tool("clock.now")])
    request.provider_options.update({"tools": [{"type": "function", "function": {"name": "x"}}]})
    assert [each["function"]["name"] for each in body(request)["tools"]] == ["clock_now", "x"]


@pytest.mark.parametrize("options", [{"model": "x"}, {"messages": []}, {"stream": False}, {"options": 3}])
def test_provider_options_may_not_set_reserved_fields(options):
    request = asks()
    request.provider_options.update(options)
    with pytest.raises(InvalidRequest):
        encode(request)
