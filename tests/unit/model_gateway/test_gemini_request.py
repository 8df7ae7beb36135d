"""Our requests are encoded for the Gemini API."""

from __future__ import annotations

import re

import orjson
import pytest
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_SYSTEM, ROLE_USER
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_MEDIUM,
    REASONING_EFFORT_NONE,
    JsonFormat,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_gateway.formats.chat.tool_names import MAX_NAME_LENGTH, ToolNames
from clawdbot_model_gateway.formats.gemini.models import profile_of
from clawdbot_model_gateway.formats.gemini.request import RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.gemini.schema import adapt_schema
from clawdbot_servicekit.errors import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.generate_requests import asks, says, tool

PLAIN = "gemini-2.0-flash"
"""A model that does not think, so that the body contains only what was asked for."""


def encode(request, model=PLAIN, *, thinking=None, unsupported=frozenset(), **defaults):
    encoder = RequestEncoder(
        "gemini", RequestDefaults(**defaults), thinking=thinking, unsupported=unsupported
    )
    encoded = encoder.encode(request, model)
    return orjson.loads(orjson.dumps(encoded.body)), [each.field for each in encoded.warnings]


def body(request, model=PLAIN, **options):
    wire, warnings = encode(request, model, **options)
    assert warnings == []
    return wire


def config(request, model=PLAIN, **options):
    return body(request, model, **options).get("generationConfig", {})


@pytest.mark.parametrize(
    ("model", "takes"),
    [("gemini-2.0-flash", True), ("gemini-2.5-pro", False), ("gemini-3-flash", False), ("mine", True)],
)
def test_penalties_are_for_models_before_gemini_2_5(model, takes):
    request = asks(sampling={"presence_penalty": 0.5, "frequency_penalty": 0.5})
    wire, warnings = encode(request, model)
    assert ("presencePenalty" in wire.get("generationConfig", {})) == takes
    assert warnings == ([] if takes else ["sampling.presence_penalty", "sampling.frequency_penalty"])


def test_a_conversation_is_sent_in_order_and_its_instructions_apart():
    request = asks(says("Be brief.", ROLE_SYSTEM), "Hello", says("Hi.", ROLE_ASSISTANT), "Bye")
    assert body(request) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Hi."}]},
            {"role": "user", "parts": [{"text": "Bye"}]},
        ],
    }


def test_neighbouring_messages_of_one_role_are_one_content():
    wire = body(asks("Hello", "Are you there?", says("Yes.", ROLE_ASSISTANT)))
    assert [(each["role"], len(each["parts"])) for each in wire["contents"]] == [("user", 2), ("model", 1)]


def test_lone_instructions_are_sent_as_the_users():
    assert body(asks(says("Greet.", ROLE_SYSTEM))) == {
        "contents": [{"role": "user", "parts": [{"text": "Greet."}]}]
    }


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
    assert config(asks(sampling=sampling)) == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "stopSequences": ["a", "b"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
    }


def test_zero_is_sent_and_an_unset_field_gets_the_backends_default():
    defaults = {"maxOutputTokens": 2048, "temperature": 0.7}
    assert config(asks(), config=defaults) == defaults
    assert config(asks(sampling={"temperature": 0.0}), config=defaults) == {**defaults, "temperature": 0.0}


def test_unsupported_fields_are_left_out_with_warnings():
    sampling = {"seed": 2**31, "presence_penalty": 0.5, "logprobs": 3}
    wire, warnings = encode(asks(sampling=sampling), unsupported=frozenset({"sampling.presence_penalty"}))
    assert "generationConfig" not in wire
    assert set(warnings) == {"sampling.seed", "sampling.presence_penalty", "sampling.logprobs"}
    with pytest.raises(InvalidRequest):
        encode(asks(sampling=sampling, strict=True))


# Thinking


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "warned"),
    [
        ("gemini-3-flash", 0, {}, False),
        ("gemini-3-flash", REASONING_EFFORT_LOW, {"thinkingLevel": "LOW"}, False),
        ("gemini-3.1-pro-preview", REASONING_EFFORT_MEDIUM, {"thinkingLevel": "MEDIUM"}, False),
        ("gemini-3.8-flash", REASONING_EFFORT_HIGH, {"thinkingLevel": "HIGH"}, False),
        ("gemini-3-flash", REASONING_EFFORT_NONE, {"thinkingLevel": "MINIMAL"}, True),
        ("gemini-3.1-pro-preview", REASONING_EFFORT_NONE, {"thinkingLevel": "LOW"}, True),
        ("gemini-flash-latest", REASONING_EFFORT_LOW, {"thinkingLevel": "LOW"}, False),
        ("models/gemini-2.5-flash", REASONING_EFFORT_LOW, {"thinkingBudget": 1024}, False),
        ("gemini-2.5-flash", REASONING_EFFORT_MEDIUM, {"thinkingBudget": 8192}, False),
        ("gemini-2.5-pro", REASONING_EFFORT_HIGH, {"thinkingBudget": 24576}, False),
        ("gemini-2.5-pro", REASONING_EFFORT_NONE, {"thinkingBudget": 128}, True),
    ],
)
def test_an_effort_is_sent_in_the_models_own_field(model, effort, thinking, warned):
    wire, warnings = encode(asks(sampling={"reasoning_effort": effort}), model)
    assert wire["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, **thinking}
    assert warnings == (["sampling.reasoning_effort"] if warned else [])


def test_thoughts_are_not_asked_for_without_thinking():
    without_thinking = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE})
    assert config(without_thinking, "gemini-2.5-flash") == {"thinkingConfig": {"thinkingBudget": 0}}
    # It thinks only on request.
    assert config(asks(), "gemini-2.5-flash-lite") == {}
    low_effort = asks(sampling={"reasoning_effort": REASONING_EFFORT_LOW})
    assert config(low_effort, "gemini-2.5-flash-lite") == {
        "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}
    }


@pytest.mark.parametrize("model", [PLAIN, "gemini-2.5-flash-image", "gemma-4-27b", "tunedModels/mine"])
def test_an_effort_for_a_model_that_never_thinks_gives_a_warning(model):
    wire, warnings = encode(asks(sampling={"reasoning_effort": REASONING_EFFORT_LOW}), model)
    assert "generationConfig" not in wire
    assert warnings == ["sampling.reasoning_effort"]


def test_the_configuration_overrides_what_the_name_tells():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_LOW})
    wire = config(request, "tunedModels/mine", thinking="budget", show_thoughts=False)
    assert wire["thinkingConfig"] == {"thinkingBudget": 1024}
    assert config(asks(), "gemini-3-flash", thinking="none") == {}


@given(st.text(max_size=40))
def test_any_name_has_a_profile(name):
    assert profile_of(name).thinking in {"level", "budget", "none"}


# Tools


def test_tools_have_allowed_names():
    request = asks(tools=[tool("tables.reserve", "Books.", people={"type": "integer", "const": 4})])
    (declared,) = body(request)["tools"][0]["functionDeclarations"]
    assert declared == {
        "name": "tables_reserve",
        "description": "Books.",
        "parametersJsonSchema": {
            "type": "object",
            "properties": {"people": {"type": "integer", "enum": [4]}},
        },
    }


def test_a_tool_without_a_schema_declares_no_parameters():
    bare = tool("clock.now", "Tells the time.")
    bare.ClearField("input_schema")
    assert body(asks(tools=[bare]))["tools"] == [
        {"functionDeclarations": [{"name": "clock_now", "description": "Tells the time."}]}
    ]


def test_a_changed_tool_is_not_taken_from_the_cache():
    encoder = RequestEncoder("x", RequestDefaults())
    sent = [
        orjson.loads(orjson.dumps(encoder.encode(asks(tools=[tool("t", text)]), PLAIN).body))
        for text in ("one", "two", "one")
    ]
    descriptions = [each["tools"][0]["functionDeclarations"][0]["description"] for each in sent]
    assert descriptions == ["one", "two", "one"]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), None),
        (ToolChoice(mode=ToolChoice.MODE_AUTO), None),
        (ToolChoice(mode=ToolChoice.MODE_NONE), {"mode": "NONE"}),
        (ToolChoice(mode=ToolChoice.MODE_REQUIRED), {"mode": "ANY"}),
        (
            ToolChoice(mode=ToolChoice.MODE_NAMED, name="clock.now"),
            {"mode": "ANY", "allowedFunctionNames": ["clock_now"]},
        ),
    ],
)
def test_each_tool_choice_is_encoded(choice, wire):
    sent = body(asks(tools=[tool("clock.now")], tool_choice=choice))
    assert sent.get("toolConfig") == (None if wire is None else {"functionCallingConfig": wire})


def test_parallel_calls_cannot_be_forbidden():
    request = asks(tools=[tool("t")], tool_choice=ToolChoice(disable_parallel=True))
    assert encode(request)[1] == ["tool_choice.disable_parallel"]


NAMES = st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=6)


@given(NAMES)
def test_any_names_become_unique_allowed_names_and_map_back(names):
    mapping = ToolNames(names, letter_first=True)
    wire = [mapping.to_wire(each) for each in names]
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", each) for each in wire)
    assert all(len(each) <= MAX_NAME_LENGTH for each in wire)
    assert len(set(wire)) == len(wire)
    assert [mapping.from_wire(each) for each in wire] == names


# Formats and options


def formatted(model, *tools):
    schema = JsonSchemaFormat(name="answer")
    schema.schema.update({"$schema": "x", "type": "object", "properties": {"const": {"const": "a"}}})
    return encode(asks(response_format=ResponseFormat(json_schema=schema), tools=tools), model)


def test_json_formats_are_encoded():
    json_request = asks(response_format=ResponseFormat(json=JsonFormat()))
    assert config(json_request) == {"responseMimeType": "application/json"}
    wire, warnings = formatted(PLAIN)
    assert wire["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {
            "title": "answer",
            "type": "object",
            "properties": {"const": {"enum": ["a"]}},
        },
    }
    assert warnings == []


def test_json_with_tools_gives_a_warning_if_the_model_refuses_it():
    wire, warnings = formatted("gemini-2.5-flash", tool("t"))
    assert "responseMimeType" not in wire["generationConfig"]
    assert warnings == ["response_format.json_schema"]
    wire, warnings = formatted("gemini-3-flash", tool("t"))
    assert wire["generationConfig"]["responseMimeType"] == "application/json"
    assert warnings == []


def test_constants_become_enumerations_in_all_nested_schemas():
    constant, enumeration = {"const": None}, {"enum": [None]}
    for keyword in ("items", "additionalProperties"):
        assert adapt_schema({keyword: constant}) == {keyword: enumeration}
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        assert adapt_schema({keyword: [constant]}) == {keyword: [enumeration]}
    for keyword in ("properties", "$defs"):
        assert adapt_schema({keyword: {"const": constant}}) == {keyword: {"const": enumeration}}
    assert adapt_schema({"additionalProperties": False}) == {"additionalProperties": False}
    assert adapt_schema({"enum": ["const"], "default": {"const": 1}}) == {
        "enum": ["const"],
        "default": {"const": 1},
    }


def test_provider_options_are_merged_into_the_body():
    request = asks(sampling={"max_tokens": 9}, tools=[tool("t")])
    request.provider_options.update(
        {
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
            "tools": [{"googleSearch": {}}],
        }
    )
    wire = body(request)
    assert wire["safetySettings"][0]["threshold"] == "BLOCK_NONE"
    assert wire["generationConfig"] == {"maxOutputTokens": 9, "mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert [next(iter(each)) for each in wire["tools"]] == ["functionDeclarations", "googleSearch"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"contents": []}, "contents"),
        ({"model": "x"}, "model"),
        ({"systemInstruction": {}}, "systemInstruction"),
        ({"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount"),
    ],
)
def test_provider_options_may_not_set_reserved_fields(options, field):
    request = asks()
    request.provider_options.update(options)
    with pytest.raises(InvalidRequest) as refused:
        encode(request)
    assert refused.value.violations[0].field == f"provider_options.{field}"


def test_request_id_and_metadata_are_not_sent():
    request = asks(request_id="r-1")
    request.metadata["session_id"] = "s-1"
    assert "s-1" not in str(body(request))
    assert "r-1" not in str(body(request))


def test_a_speakers_name_gives_a_warning():
    named = says("Hello", ROLE_USER)
    named.name = "ann"
    assert encode(asks(named))[1] == ["messages[0].name"]
