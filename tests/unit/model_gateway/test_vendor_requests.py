"""A request is written as the vendor of the endpoint wants it, by its row in the table of vendors."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_USER,
    Media,
    Message,
    Part,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_NONE,
    JsonFormat,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_gateway.formats.chat.request import RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.vendor_profile import VENDOR_PROFILES, VendorProfile
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.chat_requests import answered, called, encode
from tests.support.generate_requests import asks, says, tool


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


# What single vendors refuse


@pytest.mark.parametrize("vendor", ["zhipu", "minimax"])
def test_a_vendor_that_cannot_be_told_not_to_call_tools_gets_none(vendor):
    none = ToolChoice(mode=ToolChoice.MODE_NONE)
    request = asks("When?", called(), answered(), tools=[tool("clock.now")], tool_choice=none, strict=True)
    wire, warnings = encode(request, VENDOR_PROFILES[vendor], "glm-5")
    assert wire.keys().isdisjoint({"tools", "tool_choice"})
    assert warnings == []


SAMPLING = {"temperature": 0.5, "top_p": 0.9, "stop": ["x"], "presence_penalty": 1.0, "max_tokens": 9}


@pytest.mark.parametrize("vendor", ["openai", "azure"])
@pytest.mark.parametrize(
    "model", ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.1", "openai/gpt-5-mini", "codex-x"]
)
def test_models_that_reason_get_no_sampling_that_they_refuse(vendor, model):
    wire, warnings = encode(asks(sampling=SAMPLING), VENDOR_PROFILES[vendor], model, frequency_penalty=0.1)
    assert set(wire) == {"model", "messages", "max_completion_tokens"}
    assert set(warnings) == {f"sampling.{each}" for each in {*SAMPLING, "frequency_penalty"} - {"max_tokens"}}
    with pytest.raises(InvalidRequest, match="temperature"):
        encode(asks(sampling=SAMPLING, strict=True), VENDOR_PROFILES[vendor], model)


@pytest.mark.parametrize("vendor", ["openai", "azure"])
@pytest.mark.parametrize("model", ["gpt-5.1", "gpt-5.6-luna", "openai/gpt-5.2-codex"])
def test_models_that_are_told_not_to_reason_get_all_sampling(vendor, model):
    request = asks(sampling={**SAMPLING, "reasoning_effort": REASONING_EFFORT_NONE})
    wire, warnings = encode(request, VENDOR_PROFILES[vendor], model)
    assert (wire["reasoning_effort"], wire["temperature"], warnings) == ("none", 0.5, [])


@pytest.mark.parametrize("vendor", ["openai", "azure"])
@pytest.mark.parametrize(
    ("model", "least"),
    [
        *(("o3", "low"), ("o4-mini-2025-04-16", "low"), ("gpt-5-codex", "low"), ("gpt-5-pro", "high")),
        *(("gpt-5", "minimal"), ("openai/gpt-5-mini", "minimal"), ("ft:gpt-5-nano-2025-08-07:me", "minimal")),
    ],
)
def test_models_that_always_reason_are_asked_for_as_little_as_they_can(vendor, model, least):
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE, "temperature": 0.5})
    wire, warnings = encode(request, VENDOR_PROFILES[vendor], model)
    assert wire["reasoning_effort"] == least
    assert "temperature" not in wire
    assert warnings == ["sampling.temperature", "sampling.reasoning_effort"]
    request.sampling.ClearField("temperature")
    request.strict = True
    with pytest.raises(InvalidRequest, match="as little as it can"):
        encode(request, VENDOR_PROFILES[vendor], model)


@pytest.mark.parametrize(
    ("vendor", "model"), [("azure", "gpt-5-chat-latest"), ("openrouter", "openai/o3"), ("groq", "gpt-5-x")]
)
def test_others_are_told_not_to_reason_in_these_words(vendor, model):
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE}, strict=True)
    assert encode(request, VENDOR_PROFILES[vendor], model)[0]["reasoning_effort"] == "none"


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "gpt-3.5-turbo", "gpt-35-turbo", "foo1", "my-deployment"],
)
def test_other_models_get_all_sampling(model):
    assert encode(asks(sampling=SAMPLING), VENDOR_PROFILES["azure"], model)[1] == []


@pytest.mark.parametrize(
    ("vendor", "limit"), [("openai", 4), ("azure", 4), ("groq", 4), ("gemini", 5), ("zhipu", 1)]
)
def test_stop_sequences_beyond_the_vendors_number_are_left_out_with_a_warning(vendor, limit):
    stops = [str(each) for each in range(7)]
    wire, warnings = encode(asks(sampling={"stop": stops}), VENDOR_PROFILES[vendor])
    assert wire["stop"] == stops[:limit]
    assert warnings == [f"sampling.stop[{index}]" for index in range(limit, 7)]


def test_gemini_over_chat_completions_gets_no_field_that_it_does_not_know():
    sampling = {"top_k": 3, "seed": 7, "frequency_penalty": 0.5, "presence_penalty": 0.5, "temperature": 1.0}
    wire, warnings = encode(asks(sampling=sampling), VENDOR_PROFILES["gemini"])
    assert set(wire) == {"model", "messages", "temperature"}
    assert len(warnings) == 4


@pytest.mark.parametrize("name", ["Jürgen Müller", "a<b>|c", "x\\y/z", "x" * 200])
def test_a_speakers_name_has_only_what_vendors_take(name):
    request = asks("Hi", Message(role=ROLE_ASSISTANT, parts=[Part(text="Hm")], name=name))
    sent = encode(request, VENDOR_PROFILES["openai"])[0]["messages"][1]["name"]
    assert re.fullmatch(r"[^\s<|\\/>]{1,64}", sent)
    for vendor in ("groq", "mistral"):
        wire, warnings = encode(request, VENDOR_PROFILES[vendor])
        assert "name" not in wire["messages"][1]
        assert warnings == ["messages[1].name"]


@pytest.mark.parametrize("vendor", ["mistral", "perplexity"])
def test_a_late_instruction_is_the_users_where_the_system_speaks_only_first(vendor):
    request = asks(
        says("A.", ROLE_SYSTEM), "Hi", says("Hm", ROLE_ASSISTANT), says("B.", ROLE_SYSTEM), "Go on"
    )
    wire = encode(request, VENDOR_PROFILES[vendor])[0]["messages"]
    assert [each["role"] for each in wire].count("system") == 1
    assert wire[0]["role"] == "system"
    assert "B." in json.dumps([each for each in wire if each["role"] == "user"])


@pytest.mark.parametrize("vendor", ["mistral", "perplexity"])
@pytest.mark.parametrize("instructions", [[], [says("Be brief.", ROLE_SYSTEM)]])
def test_an_assistant_that_greets_is_spoken_to_first_where_the_vendor_wants_it(vendor, instructions):
    request = asks(*instructions, says("Hello!", ROLE_ASSISTANT), "Hi")
    wire = encode(request, VENDOR_PROFILES[vendor])[0]["messages"]
    assert [each["role"] for each in wire][-3:] == ["user", "assistant", "user"]
    plain = encode(request, VENDOR_PROFILES["openai"])[0]["messages"]
    assert [each["role"] for each in plain][-2:] == ["assistant", "user"]
    assert len(plain) == len(instructions) + 2


def test_openais_other_models_get_no_effort():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE})
    wire, warnings = encode(request, VENDOR_PROFILES["openai"], "gpt-4o")
    assert set(wire) == {"model", "messages"}
    assert warnings == ["sampling.reasoning_effort"]
    assert "reasoning_effort" in encode(request, VENDOR_PROFILES["openai"], "gpt-5.1")[0]
    assert "reasoning_effort" in encode(request, VENDOR_PROFILES["azure"], "my-deployment")[0]


def test_perplexity_hears_turns_that_alternate():
    image = Message(role=ROLE_USER, parts=[Part(image=Media(uri="https://x/y.png"))])
    request = asks("Hi", "there", image, says("Hm", ROLE_ASSISTANT), says("so", ROLE_ASSISTANT), "Go on")
    wire = encode(request, VENDOR_PROFILES["perplexity"])[0]["messages"]
    assert [each["role"] for each in wire] == ["user", "assistant", "user"]
    assert wire[0]["content"][0] == {"type": "text", "text": "Hi\n\nthere"}
    assert wire[1]["content"] == "Hm\n\nso"


def test_a_tools_schema_has_what_vendors_demand():
    bare = tool("bare")
    bare.input_schema.update({"type": "object"})
    typeless = tool("typeless")
    typeless.input_schema.update({"properties": {"x": {"type": "string"}}})
    whole = tool("whole", x={"type": "string"})
    wire, _ = encode(asks(tools=[bare, typeless, whole]), VENDOR_PROFILES["openai"])
    for each in wire["tools"]:
        parameters = each["function"]["parameters"]
        assert (parameters["type"], "properties" in parameters) == ("object", True)
        assert each["function"].get("description") != ""


@pytest.mark.parametrize("instructions", [[], [says("Be brief.", ROLE_SYSTEM)]])
def test_a_request_for_json_mentions_it(instructions):
    request = asks(*instructions, "Three colours", response_format=ResponseFormat(json=JsonFormat()))
    wire, _ = encode(request, VENDOR_PROFILES["openai"])
    assert "JSON" in wire["messages"][0]["content"]
    assert [each["role"] for each in wire["messages"]] == ["system", "user"]
    mentioned = asks("Three colours as json", response_format=ResponseFormat(json=JsonFormat()))
    assert len(encode(mentioned, VENDOR_PROFILES["openai"])[0]["messages"]) == 1


def schema(**fields):
    wanted = ResponseFormat(json_schema=JsonSchemaFormat(name="x"))
    wanted.json_schema.schema.update(fields)
    return asks(response_format=wanted)


def native(request, vendor):
    encoder = RequestEncoder("x", VENDOR_PROFILES[vendor], RequestDefaults())
    return "json_schema" in encoder.native_formats(request)


PEOPLE = {"people": {"type": "integer", "default": 2}}


@pytest.mark.parametrize("vendor", ["openai", "azure", "groq", "cerebras", "mistral", "openrouter"])
def test_a_schema_is_closed_where_it_can_be(vendor):
    """Some vendors take no open ones, and a proxy may have such a vendor behind it."""
    request = schema(type="object", properties=PEOPLE, required=["people"])
    assert native(request, vendor)
    sent = encode(request, VENDOR_PROFILES[vendor])[0]["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"] == {
        "type": "object",
        "properties": {"people": {"type": "integer"}},
        "required": ["people"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "object", "properties": PEOPLE},
        {"type": "object", "properties": PEOPLE, "required": ["people"], "additionalProperties": True},
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "object", "properties": PEOPLE, "required": ["people"]}]},
        {"type": "object", "properties": {"x": {"type": "array"}}, "required": ["x"]},
        {"type": "object", "properties": {"x": {"oneOf": [{"type": "string"}]}}, "required": ["x"]},
        {"type": "object", "properties": {"x": {"description": "any"}}, "required": ["x"]},
        {"type": "object", "properties": {"x": True}, "required": ["x"]},
    ],
)
def test_a_schema_that_strict_mode_refuses_is_emulated(fields):
    assert not native(schema(**fields), "openai")
    assert native(schema(**fields), "openrouter")
    sent = encode(schema(**fields), VENDOR_PROFILES["openrouter"])[0]["response_format"]["json_schema"]
    assert sent["schema"] == fields


def test_a_schema_is_sent_in_the_same_bytes_whatever_the_order_of_its_keys():
    fields = {"type": "object", "properties": PEOPLE, "required": ["people"]}
    encoder = RequestEncoder("x", VENDOR_PROFILES["openai"], RequestDefaults())
    bodies = {
        encoder.encode(schema(**dict(each)), "m", stream=False).body
        for each in itertools.permutations(fields.items())
    }
    assert len(bodies) == 1


def test_a_nested_schema_is_closed_all_the_way_down():
    inner = {"type": "object", "properties": PEOPLE, "required": ["people"]}
    request = schema(
        **{
            "type": "object",
            "properties": {"a": inner, "b": {"type": "array", "items": inner}, "c": {"$ref": "#/$defs/d"}},
            "required": ["a", "b", "c"],
            "$defs": {"d": {"anyOf": [inner, {"type": "null"}]}},
        }
    )
    assert native(request, "openai")
    sent = json.dumps(encode(request, VENDOR_PROFILES["openai"])[0]["response_format"])
    assert sent.count('"additionalProperties": false') == 4
    assert "default" not in sent


@pytest.mark.parametrize("vendor", ["deepseek", "zhipu"])
def test_schemas_are_emulated_where_a_vendor_has_no_field_for_them(vendor):
    assert not native(schema(type="object", properties=PEOPLE, required=["people"]), vendor)
