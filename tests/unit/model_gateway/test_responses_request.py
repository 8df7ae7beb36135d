"""Our requests are encoded for the Responses API."""

from __future__ import annotations

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
    REASONING_EFFORT_NONE,
    JsonFormat,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.responses.request import ModelProfile, RequestDefaults, RequestEncoder
from clawdbot_servicekit.errors import InvalidRequest

from tests.support import fake_responses
from tests.support.fake_responses import reasoning, streamed
from tests.support.generate_requests import asks, says, tool
from tests.support.responses_streams import reply_to


def encode(request, model="gpt-6", *, reasons=None, unsupported=frozenset(), **defaults):
    profile = ModelProfile(reasons=reasons, unsupported=unsupported)
    encoded = RequestEncoder("openai", profile, RequestDefaults(**defaults)).encode(request, model)
    return json.loads(encoded.create_body(stream=False)), [each.field for each in encoded.warnings]


def body(request, model="gpt-6", **options):
    wire, warnings = encode(request, model, **options)
    assert warnings == []
    return wire


def message(role, *parts, **more):
    return asks("Hi", Message(role=role, parts=parts, **more))


def test_a_conversation_is_sent_in_order_and_not_stored():
    request = asks(
        says("Be brief.", ROLE_SYSTEM), "Hello", says("Hi.", ROLE_ASSISTANT), says("Now.", ROLE_SYSTEM)
    )
    assert body(request) == {
        "model": "gpt-6",
        "store": False,
        "stream": False,
        "include": ["reasoning.encrypted_content"],
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "developer", "content": "Now."},
        ],
    }


def test_lone_instructions_are_sent_as_input():
    assert body(asks(says("Greet.", ROLE_SYSTEM)))["input"] == [{"role": "developer", "content": "Greet."}]


def test_reasoning_goes_back_with_its_encrypted_content():
    reply = accumulate(reply_to(*streamed(reasoning("Hm."), fake_responses.message("Hi.")))).message
    assert body(asks("Hi", reply))["input"][1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "gAAA:x=",
    }


@pytest.mark.parametrize("signature", [b"", b"gemini:abc", b"\xff\xfe", b"openai:rs_1"])
def test_other_vendors_reasoning_is_left_out(signature):
    part = Part(reasoning=Reasoning(text="Hm.", signature=signature))
    wire, warnings = encode(message(ROLE_ASSISTANT, part))
    assert len(wire["input"]) == 1
    assert warnings == ["messages[1].parts[0].reasoning"]


def test_a_call_and_its_results_go_back():
    call = ToolCall(id="c1", name="tables.reserve")
    call.arguments.update({"people": 4})
    others = [Part(tool_call=ToolCall(id=each, name="clock.now")) for each in ("c2", "c3", "c4")]
    data = ToolResult(call_id="c2")
    data.structured.update({"ref": "T-1"})
    image = Part(image=Media(data=b"x", media_type="image/png"))
    results = [
        ToolResult(call_id="c1", content=[Part(text="booked")]),
        data,
        ToolResult(call_id="c3", is_error=True),
        ToolResult(call_id="c4", content=[Part(text="Look"), image]),
    ]
    request = asks(
        "A table",
        Message(role=ROLE_ASSISTANT, parts=[Part(text="One moment."), Part(tool_call=call), *others]),
        Message(role=ROLE_TOOL, parts=[Part(tool_result=each) for each in results]),
    )
    items = body(request)["input"]
    assert items[1:3] == [
        {"role": "assistant", "content": "One moment."},
        {"type": "function_call", "call_id": "c1", "name": "tables_reserve", "arguments": '{"people":4}'},
    ]
    assert [(each["type"], each["call_id"]) for each in items[6:]] == [
        ("function_call_output", f"c{number}") for number in range(1, 5)
    ]
    assert [each["output"] for each in items[6:9]] == [
        "booked",
        '{"ref":"T-1"}',
        "The tool failed and said nothing.",
    ]
    assert [each["type"] for each in items[9]["output"]] == ["input_text", "input_image"]


@pytest.mark.parametrize(
    "ids",
    [
        ("a", "a"),
        ("x" * 64, "y" * 64),
        ("x" * 65, "x" * 66),
        ("functions.get:0 é\n" * 9, "b"),
        ("a.b", "a_b"),
    ],
)
def test_each_call_has_an_id_of_its_own_that_is_not_too_long(ids):
    parts = [
        part
        for each in ids
        for part in (
            Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=ToolCall(id=each, name="clock.now"))]),
            Message(role=ROLE_TOOL, parts=[Part(tool_result=ToolResult(call_id=each))]),
        )
    ]
    wire = [each["call_id"] for each in body(asks("Hi", *parts))["input"] if "call_id" in each]
    assert wire[::2] == wire[1::2]
    assert len({*wire}) == 2
    assert all(1 <= len(each) <= 64 for each in wire)
    assert all(each in wire for each in ids if len(each) <= 64)


def test_images_and_documents_are_parts():
    request = message(
        ROLE_USER,
        Part(text="What is this?"),
        Part(image=Media(data=b"\x89PNG", media_type="image/png")),
        Part(document=Document(data=b"%PDF", media_type="application/pdf", title="a.pdf")),
        Part(document=Document(uri="https://x/y.pdf")),
    )
    assert body(request)["input"][1]["content"] == [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw=="},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
    ]


def test_audio_and_speakers_names_give_warnings_or_are_refused():
    audio = Part(audio=Media(data=b"x", media_type="audio/wav"))
    request = message(ROLE_USER, Part(text="Listen"), audio, name="Ann")
    wire, warnings = encode(request)
    assert wire["input"][1] == {"role": "user", "content": "Listen"}
    assert sorted(warnings) == ["messages[1].name", "messages[1].parts[1].audio"]
    request.strict = True
    with pytest.raises(InvalidRequest):
        encode(request)


# Sampling


def test_a_model_that_does_not_reason_takes_all_sampling():
    request = asks(sampling={"max_tokens": 90, "temperature": 0.0, "top_p": 0.5})
    wire = body(request, "gpt-4.1-mini")
    assert (wire["max_output_tokens"], wire["temperature"], wire["top_p"]) == (90, 0.0, 0.5)
    assert "include" not in wire


def test_a_reasoning_model_takes_a_temperature_only_with_reasoning_turned_off():
    request = asks(sampling={"temperature": 0.5, "reasoning_effort": REASONING_EFFORT_HIGH})
    wire, warnings = encode(request)
    assert (wire["reasoning"], warnings) == ({"effort": "high"}, ["sampling.temperature"])
    assert "temperature" not in wire
    request.sampling.reasoning_effort = REASONING_EFFORT_NONE
    wire = body(request, "gpt-5.6")
    assert (wire["reasoning"], wire["temperature"]) == ({"effort": "none"}, 0.5)


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ("o3", "low"),
        ("o4-mini-2025-04-16", "low"),
        ("gpt-5", "minimal"),
        ("gpt-5-mini", "minimal"),
        ("gpt-5-nano-2025-08-07", "minimal"),
        ("gpt-5-codex", "low"),
        ("gpt-5-pro", "high"),
        ("ft:gpt-5-mini-2025-08-07:me", "minimal"),
        ("gpt-6.1-sol", "low"),
        ("gpt-5.1", None),
        ("gpt-5.6-luna", None),
        ("my-deployment", None),
    ],
)
def test_a_model_that_always_reasons_is_asked_for_as_little_as_it_can_with_a_warning(model, least):
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE, "temperature": 0.5})
    wire, warnings = encode(request, model)
    assert wire["reasoning"] == {"effort": least or "none"}
    assert ("temperature" in wire) == (least is None)
    assert warnings == (["sampling.temperature", "sampling.reasoning_effort"] if least else [])
    if least:
        request.strict = True
        with pytest.raises(InvalidRequest):
            encode(request, model)


def test_an_effort_for_a_model_that_does_not_reason_gives_a_warning():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH})
    wire, warnings = encode(request, "gpt-4o")
    assert "reasoning" not in wire
    assert warnings == ["sampling.reasoning_effort"]
    assert body(request, "gpt-4o", reasons=True)["reasoning"] == {"effort": "high"}


def test_the_backends_defaults_apply_to_unset_fields_and_unsupported_ones_give_warnings():
    request = asks(strict=True)
    wire, warnings = encode(request, sampling={"max_tokens": 2048, "temperature": 0.7, "stop": ["x"]})
    assert wire["max_output_tokens"] == 2048
    assert warnings == ["sampling.temperature", "sampling.stop"]


def test_a_reasoning_summary_is_asked_for_only_if_configured():
    assert body(asks(), reasoning_summary="auto")["reasoning"] == {"summary": "auto"}
    assert "reasoning" not in body(asks())


# Tools and response formats


def test_tools_have_allowed_names_and_are_not_strict():
    bare = tool("clock.now")
    bare.ClearField("input_schema")
    sent = body(asks(tools=[tool("tables.reserve", "Books.", people={"type": "integer"}), bare]))["tools"]
    assert sent == [
        {
            "type": "function",
            "name": "tables_reserve",
            "description": "Books.",
            "parameters": {"type": "object", "properties": {"people": {"type": "integer"}}},
            "strict": False,
        },
        {
            "type": "function",
            "name": "clock_now",
            "description": "",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        },
    ]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), None),
        (ToolChoice(mode=ToolChoice.MODE_AUTO), None),
        (ToolChoice(mode=ToolChoice.MODE_NONE), "none"),
        (ToolChoice(mode=ToolChoice.MODE_REQUIRED), "required"),
        (ToolChoice(mode=ToolChoice.MODE_NAMED, name="clock.now"), {"type": "function", "name": "clock_now"}),
    ],
)
def test_each_tool_choice_is_encoded(choice, wire):
    choice.disable_parallel = True
    sent = body(asks(tools=[tool("clock.now")], tool_choice=choice))
    assert sent.get("tool_choice") == wire
    assert sent["parallel_tool_calls"] is False


def test_json_formats_are_encoded():
    schema = ResponseFormat(json_schema=JsonSchemaFormat(name="a table"))
    schema.json_schema.schema.update({"type": "object"})
    assert body(asks(response_format=schema))["text"]["format"] == {
        "type": "json_schema",
        "name": "a_table",
        "schema": {"type": "object"},
        "strict": True,
    }
    plain = ResponseFormat(json=JsonFormat())
    assert body(asks(response_format=plain))["text"]["format"] == {"type": "json_object"}


def test_provider_options_are_merged_into_the_body():
    request = asks(tools=[tool("t")], response_format=ResponseFormat(json=JsonFormat()))
    search = {"type": "web_search"}
    request.provider_options.update(
        {"tools": [search], "text": {"verbosity": "low"}, "service_tier": "flex", "store": True}
    )
    wire = body(request)
    assert [each["type"] for each in wire["tools"]] == ["function", "web_search"]
    assert wire["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert (wire["service_tier"], wire["store"]) == ("flex", True)


@pytest.mark.parametrize("name", ["input", "instructions", "model", "stream", "background"])
def test_provider_options_may_not_set_reserved_fields(name):
    request = asks()
    request.provider_options.update({name: "x"})
    with pytest.raises(InvalidRequest):
        encode(request)


def test_an_unsupported_field_is_left_out_with_a_warning():
    wire, warnings = encode(asks(sampling={"max_tokens": 9}), unsupported=frozenset({"sampling.max_tokens"}))
    assert "max_output_tokens" not in wire
    assert warnings == ["sampling.max_tokens"]
