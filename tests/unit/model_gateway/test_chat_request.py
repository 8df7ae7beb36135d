"""Our requests are encoded for Chat Completions."""

from __future__ import annotations

import json
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
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    JsonFormat,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_gateway.formats.chat.request import RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.chat.tool_names import MAX_NAME_LENGTH, ToolNames
from clawdbot_model_gateway.formats.vendor_profile import VendorProfile
from clawdbot_servicekit.errors import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.generate_requests import asks, calling, says, tool


def encoder(defaults=None, **profile):
    return RequestEncoder("openai_compatible", VendorProfile(**profile), RequestDefaults(defaults or {}))


def encode(request, *, stream=False, **options):
    encoded = encoder(**options).encode(request, "gpt", stream=stream)
    return json.loads(encoded.body), [each.field for each in encoded.warnings]


def body(request, **options):
    wire, warnings = encode(request, **options)
    assert warnings == []
    return wire


def message(role, *parts, **more):
    return asks(Message(role=role, parts=parts, **more))


def test_a_conversation_is_sent_in_order():
    request = asks(says("Be brief.", ROLE_SYSTEM), "Hello", says("Hi.", ROLE_ASSISTANT), "Bye")
    assert body(request) == {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "Bye"},
        ],
    }


def test_a_stream_asks_for_usage_if_the_server_takes_the_option():
    assert body(asks(), stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body(asks(), stream=True, stream_usage=False)
    assert "stream" not in body(asks())


def test_all_sampling_is_sent():
    sampling = {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["a", "b"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
    }
    wire = body(asks(sampling={**sampling, "reasoning_effort": REASONING_EFFORT_HIGH}))
    assert {key: wire[key] for key in sampling} == sampling
    assert wire["reasoning_effort"] == "high"


def test_zero_is_sent_and_an_unset_field_is_not():
    assert body(asks(sampling={"temperature": 0.0, "seed": 0}))["temperature"] == 0.0
    assert "temperature" not in body(asks(sampling={"seed": 0}))


def test_the_backends_defaults_apply_to_unset_fields():
    defaults = {"max_tokens": 2048, "temperature": 0.7}
    assert body(asks(), defaults=defaults)["max_tokens"] == 2048
    wire = body(asks(sampling={"temperature": 0.0}), defaults=defaults)
    assert (wire["max_tokens"], wire["temperature"]) == (2048, 0.0)


def test_a_profile_may_rename_max_tokens():
    wire = body(asks(sampling={"max_tokens": 9}), max_tokens_field="max_completion_tokens")
    assert wire["max_completion_tokens"] == 9
    assert "max_tokens" not in wire


def test_an_unsupported_field_is_left_out_with_a_warning():
    wire, warnings = encode(asks(sampling={"top_k": 4}), unsupported=frozenset({"sampling.top_k"}))
    assert "top_k" not in wire
    assert warnings == ["sampling.top_k"]


# Tools


def test_tools_have_allowed_names():
    wire = body(asks(tools=[tool("tables.reserve", "Books.", people={"type": "integer", "minimum": 1})]))
    assert wire["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "tables_reserve",
                "description": "Books.",
                "parameters": {"type": "object", "properties": {"people": {"type": "integer", "minimum": 1}}},
            },
        }
    ]
    encoded = encoder().encode(asks(tools=[tool("t", "", n={"minimum": 1})]), "m", stream=False)
    assert '"minimum":1}' in encoded.body.decode()


def test_a_tool_without_a_schema_takes_no_arguments():
    bare = tool("clock.now")
    bare.ClearField("input_schema")
    assert body(asks(tools=[bare]))["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {},
    }


def test_a_changed_tool_is_not_taken_from_the_cache():
    shared = encoder()
    sent = [
        json.loads(shared.encode(asks(tools=[tool("t", text)]), "m", stream=False).body)["tools"][0]
        for text in ("one", "two", "one")
    ]
    assert [each["function"]["description"] for each in sent] == ["one", "two", "one"]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), None),
        (ToolChoice(mode=ToolChoice.MODE_AUTO), None),
        (ToolChoice(mode=ToolChoice.MODE_NONE), "none"),
        (ToolChoice(mode=ToolChoice.MODE_REQUIRED), "required"),
        (
            ToolChoice(mode=ToolChoice.MODE_NAMED, name="clock.now"),
            {"type": "function", "function": {"name": "clock_now"}},
        ),
    ],
)
def test_each_tool_choice_is_encoded(choice, wire):
    assert body(asks(tools=[tool("clock.now")], tool_choice=choice)).get("tool_choice") == wire


def test_parallel_calls_can_be_forbidden():
    wire = body(asks(tools=[tool("t")], tool_choice=ToolChoice(disable_parallel=True)))
    assert wire["parallel_tool_calls"] is False


def test_a_call_and_its_result_go_back_to_the_model():
    call = ToolCall(id="c1", name="tables.reserve")
    call.arguments.update({"people": 4})
    result = ToolResult(call_id="c1", content=[Part(text="booked")])
    request = asks(
        "A table",
        Message(role=ROLE_ASSISTANT, parts=[Part(reasoning=Reasoning(text="hm")), Part(tool_call=call)]),
        Message(role=ROLE_TOOL, parts=[Part(tool_result=result)]),
    )
    wire, warnings = encode(request)
    assert warnings == ["messages[1].parts[0].reasoning"]
    assert wire["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "tables_reserve", "arguments": '{"people":4}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "booked"},
    ]


def test_each_result_is_a_message():
    results = [Part(tool_result=ToolResult(call_id=each, content=[Part(text=each)])) for each in ("c1", "c2")]
    wire = body(asks(calling("c1", "c2"), Message(role=ROLE_TOOL, parts=results)))["messages"][1:]
    assert [each["tool_call_id"] for each in wire] == ["c1", "c2"]


def test_a_result_without_text_is_its_data_or_says_that_it_is_empty():
    data = ToolResult(call_id="c1")
    data.structured.update({"ref": "T-1"})
    data.content.add(text=" ")
    results = [data, ToolResult(call_id="c2"), ToolResult(call_id="c3", is_error=True)]
    answers = Message(role=ROLE_TOOL, parts=[Part(tool_result=each) for each in results])
    wire = body(asks(calling("c1", "c2", "c3"), answers))["messages"][1:]
    assert [each["content"] for each in wire] == [
        '{"ref":"T-1"}',
        "(no output)",
        "The tool failed and said nothing.",
    ]


# Media


def test_an_image_that_a_tool_returned_follows_all_results_as_a_users_message():
    image = Part(image=Media(data=b"\x89PNG", media_type="image/png"))
    with_image = ToolResult(call_id="c1", name="maps.show", content=[image])
    with_text = ToolResult(call_id="c2", content=[Part(text="noted")])
    results = (Message(role=ROLE_TOOL, parts=[Part(tool_result=each)]) for each in (with_image, with_text))
    wire = body(asks(calling("c1", "c2"), *results))["messages"]
    assert [each["role"] for each in wire] == ["assistant", "tool", "tool", "user"]
    assert [each["content"] for each in wire[1:3]] == ["(shown below)", "noted"]
    assert wire[3]["content"] == [
        {"type": "text", "text": "Returned by maps.show (call c1):"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
    ]


@pytest.mark.parametrize(
    "image",
    [
        Media(data=b"\x89PNG", media_type="IMAGE/X-PNG"),
        Media(uri="data:image/x-png;charset=x;base64,iVBORw=="),
    ],
)
def test_the_type_of_an_image_is_written_as_vendors_know_it(image):
    (sent,) = body(asks(Message(role=ROLE_USER, parts=[Part(image=image)])))["messages"]
    assert sent["content"][0]["image_url"] == {"url": "data:image/png;base64,iVBORw=="}


def test_images_audio_and_documents_are_parts():
    request = message(
        ROLE_USER,
        Part(text="What is this?"),
        Part(image=Media(data=b"\x89PNG", media_type="image/png")),
        Part(image=Media(uri="https://x/y.png")),
        Part(audio=Media(data=b"RIFF", media_type="audio/wav")),
        Part(document=Document(data=b"%PDF", media_type="application/pdf", title="a.pdf")),
    )
    assert body(request)["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        },
    ]


def test_unsupported_media_give_warnings():
    request = message(
        ROLE_USER,
        Part(text="Listen"),
        Part(audio=Media(uri="https://x/y.wav")),
        Part(audio=Media(data=b"x", media_type="audio/flac")),
        Part(document=Document(uri="https://x/y.pdf")),
    )
    wire, warnings = encode(request)
    assert wire["messages"] == [{"role": "user", "content": "Listen"}]
    assert warnings == [
        "messages[0].parts[1].audio",
        "messages[0].parts[2].audio",
        "messages[0].parts[3].document",
    ]
    request.strict = True
    with pytest.raises(InvalidRequest):
        encode(request)


def test_texts_of_one_message_are_joined():
    assert body(message(ROLE_USER, Part(text="a"), Part(text="b")))["messages"][0]["content"] == "a\nb"


def test_a_speakers_name_is_sent():
    assert body(message(ROLE_USER, Part(text="a"), name="ann"))["messages"][0]["name"] == "ann"


# Formats and options


def test_json_formats_are_encoded():
    assert body(asks(response_format=ResponseFormat(json=JsonFormat())))["response_format"] == {
        "type": "json_object"
    }
    schema = JsonSchemaFormat()
    schema.schema.update({"type": "object"})
    assert body(asks(response_format=ResponseFormat(json_schema=schema)))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": {"type": "object"}, "strict": True},
    }


def test_a_schemas_name_is_sanitized():
    schema = JsonSchemaFormat(name="order form: 订单")
    schema.schema.update({"type": "object"})
    sent = body(asks(response_format=ResponseFormat(json_schema=schema)))["response_format"]
    assert sent["json_schema"]["name"] == "order_form____"


def test_provider_options_are_sent():
    request = asks()
    request.provider_options.update({"min_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}})
    wire = body(request)
    assert (wire["min_p"], wire["chat_template_kwargs"]) == (0.1, {"enable_thinking": False})


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n", "stream_options"])
def test_provider_options_may_not_set_reserved_fields(name):
    request = asks()
    request.provider_options.update({name: 2})
    with pytest.raises(InvalidRequest) as refused:
        encode(request)
    assert refused.value.violations[0].field == f"provider_options.{name}"


def test_request_id_and_metadata_are_not_sent():
    request = asks(request_id="r-1")
    request.metadata["session_id"] = "s-1"
    assert "s-1" not in json.dumps(body(request))
    assert "r-1" not in json.dumps(body(request))


# Names

NAMES = st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=6)


@given(NAMES)
def test_any_names_become_unique_allowed_names_and_map_back(names):
    mapping = ToolNames(names)
    wire = [mapping.to_wire(each) for each in names]
    assert all(re.fullmatch(rf"[A-Za-z0-9_-]{{1,{MAX_NAME_LENGTH}}}", each) for each in wire)
    assert len(set(wire)) == len(wire)
    assert [mapping.from_wire(each) for each in wire] == names
