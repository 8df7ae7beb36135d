"""A request is written as the vendor of the endpoint wants it, by its row in the table of vendors."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    Media,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot_model_gateway.formats.chat.request import RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.vendor_profile import VENDOR_PROFILES, VendorProfile
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.generate_requests import asks, says, tool

TAKES_REASONING = [("deepseek", "reasoning_content"), ("moonshot", "reasoning_content")]


def encode(request, profile, **defaults):
    encoded = RequestEncoder("x", profile, RequestDefaults(defaults)).encode(request, "m", stream=False)
    return json.loads(encoded.body), [each.field for each in encoded.warnings]


def called(call_id="c1", thought=None, signature=b""):
    reasoning = [] if thought is None else [Part(reasoning=Reasoning(text=thought, signature=signature))]
    call = Part(tool_call=ToolCall(id=call_id, name="clock.now"))
    return Message(role=ROLE_ASSISTANT, parts=[*reasoning, call])


def answered(call_id="c1", *content):
    part = Part(tool_result=ToolResult(call_id=call_id, content=[*content, Part(text="noon")]))
    return Message(role=ROLE_TOOL, parts=[part])


@pytest.mark.parametrize(("vendor", "field"), [*TAKES_REASONING, ("openrouter", "reasoning")])
def test_the_thoughts_of_a_call_come_back_with_its_result(vendor, field):
    request = asks("When?", called(thought="I need the clock."), answered(), tools=[tool("clock.now")])
    wire, warnings = encode(request, VENDOR_PROFILES[vendor])
    assert wire["messages"][1][field] == "I need the clock."
    assert warnings == []


@pytest.mark.parametrize(("vendor", "field"), TAKES_REASONING)
def test_a_call_without_thoughts_of_the_vendor_gets_a_placeholder(vendor, field):
    for call in (called(), called(thought="hm", signature=b"gemini:abc")):
        wire, _ = encode(asks("When?", call, answered()), VENDOR_PROFILES[vendor])
        assert wire["messages"][1][field] == " "
        assert "hm" not in json.dumps(wire)


@pytest.mark.parametrize("profile", [VENDOR_PROFILES["mistral"], VENDOR_PROFILES["openai"], VendorProfile()])
def test_a_vendor_without_a_field_for_thoughts_gets_none(profile):
    wire, warnings = encode(asks("When?", called("abcdefghi", "hm"), answered("abcdefghi")), profile)
    assert set(wire["messages"][1]) == {"role", "content", "tool_calls"}
    assert warnings == ["messages[1].parts[0].reasoning"]


def test_a_message_of_thoughts_alone_is_left_out_with_a_warning():
    alone = Message(role=ROLE_ASSISTANT, parts=[Part(reasoning=Reasoning(text="hm"))])
    wire, warnings = encode(asks("When?", alone, "Well?"), VENDOR_PROFILES["deepseek"])
    assert [each["role"] for each in wire["messages"]] == ["user", "user"]
    assert warnings == ["messages[1].parts[0].reasoning"]


@pytest.mark.parametrize("name", VENDOR_PROFILES)
def test_mistral_alone_is_told_that_the_assistants_last_message_begins_the_reply(name):
    begun = [says("Hello", ROLE_ASSISTANT), says("Go on"), says("Well, ", ROLE_ASSISTANT)]
    for messages, marked in ((begun, name == "mistral"), (begun[:2], False)):
        wire = encode(asks("Hi", *messages), VENDOR_PROFILES[name])[0]["messages"]
        assert ["prefix" in each for each in wire[:-1]] == [False] * (len(wire) - 1)
        assert wire[-1].get("prefix", False) is marked


def test_mistral_gets_ids_of_its_own_form_the_same_for_call_and_result():
    request = asks("When?", called("toolu_01"), answered("toolu_01"))
    _, call, result = encode(request, VENDOR_PROFILES["mistral"])[0]["messages"]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) == 9
    assert result["tool_call_id"].isalnum()


def test_an_id_that_is_too_long_for_openai_is_shortened():
    call_id = "x" * 65
    _, call, result = encode(asks("When?", called(call_id), answered(call_id)), VendorProfile())[0][
        "messages"
    ]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) <= 40


@pytest.mark.parametrize("content", [(), (Part(image=Media(data=b"x", media_type="image/png")),)])
def test_mistral_hears_the_assistant_between_a_result_and_a_person(content):
    request = asks("When?", called("abcdefghi"), answered("abcdefghi", *content), "Thanks")
    roles = [each["role"] for each in encode(request, VENDOR_PROFILES["mistral"])[0]["messages"]]
    assert "tool user" not in " ".join(roles)
    plain = [each["role"] for each in encode(request, VendorProfile())[0]["messages"]]
    assert plain[:4] == ["user", "assistant", "tool", "user"]


PROFILE = VendorProfile(unsupported=frozenset({"sampling.top_k", "sampling.max_tokens"}))


def test_the_configurations_own_defaults_obey_the_configurations_unsupported():
    wire, warnings = encode(asks(strict=True), PROFILE, top_k=4, max_tokens=9, temperature=0.5)
    assert set(wire) == {"model", "messages", "temperature"}
    assert warnings == ["sampling.top_k", "sampling.max_tokens"]


def test_options_of_the_vendor_obey_it_too():
    request = asks()
    request.provider_options.update({"top_k": 4, "max_tokens": 9, "min_p": 0.1})
    wire, warnings = encode(request, PROFILE)
    assert set(wire) == {"model", "messages", "min_p"}
    assert set(warnings) == {"provider_options.top_k", "provider_options.max_tokens"}
    request.strict = True
    with pytest.raises(InvalidRequest, match=r"provider_options\.top_k"):
        encode(request, PROFILE)


def test_a_field_has_one_warning_whatever_sets_it():
    warnings = encode(asks(sampling={"top_k": 2}), PROFILE, top_k=4)[1]
    assert warnings == ["sampling.top_k"]
