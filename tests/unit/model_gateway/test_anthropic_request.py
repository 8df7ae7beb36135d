"""Sampling, thinking, response formats and options are encoded for Anthropic."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_MEDIUM,
    REASONING_EFFORT_NONE,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_gateway.formats.anthropic.models import ModelProfile
from clawdbot_model_gateway.formats.anthropic.request import RequestDefaults, RequestEncoder
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.anthropic_requests import DEFAULT_PROFILE, body, encode
from tests.support.generate_requests import asks, says, tool

REMOVED = frozenset({"sampling.temperature", "sampling.top_p", "sampling.top_k"})
"""What the newest version of the API has no field for."""


# Sampling


def test_sampling_has_the_vendors_names():
    wire = body(asks(sampling={"max_tokens": 9, "stop": ["#"], "temperature": 0.0, "top_p": 0.5, "top_k": 3}))
    assert (wire["max_tokens"], wire["stop_sequences"]) == (9, ["#"])
    assert (wire["temperature"], wire["top_p"], wire["top_k"]) == (0.0, 0.5, 3)


def test_each_blank_stop_sequence_is_left_out_with_a_warning():
    request = asks(sampling={"stop": ["#", "\n\n", ".", " "]})
    wire, warnings = encode(request)
    assert wire["stop_sequences"] == ["#", "."]
    assert warnings == ["sampling.stop[1]", "sampling.stop[3]"]
    request.strict = True
    with pytest.raises(InvalidRequest):
        encode(request)


def test_the_newest_version_has_no_temperature():
    request = asks(sampling={"temperature": 0.5, "top_p": 0.5, "top_k": 3})
    wire, warnings = encode(request, unsupported=REMOVED)
    assert not {"temperature", "top_p", "top_k"} & wire.keys()
    assert sorted(warnings) == sorted(REMOVED)
    request.strict = True
    with pytest.raises(InvalidRequest):
        encode(request, unsupported=REMOVED)


def test_an_unsupported_default_gives_a_warning_and_does_not_fail_a_strict_request():
    defaults = {"sampling": {"temperature": 0.5, "seed": 1, "max_tokens": 7}, "unsupported": REMOVED}
    wire, warnings = encode(asks(strict=True), **defaults)
    assert (wire["max_tokens"], warnings) == (7, ["sampling.temperature", "sampling.seed"])
    assert encode(asks(sampling={"temperature": 0.1}), **defaults)[1].count("sampling.temperature") == 1


@pytest.mark.parametrize("name", ["seed", "presence_penalty", "frequency_penalty", "logprobs"])
def test_sampling_that_the_api_never_had_gives_a_warning(name):
    assert encode(asks(sampling={name: 1}))[1] == [f"sampling.{name}"]


def test_the_default_max_tokens_is_limited_by_the_models():
    assert body(asks(), ModelProfile(max_tokens=4096))["max_tokens"] == 4096


# Thinking

OLD = ModelProfile(
    adaptive_thinking=False, budgeted_thinking=True, supports_effort=False, thinks_by_default=True
)
ALWAYS_THINKS = ModelProfile(can_disable_thinking=False, thinks_by_default=True)
FORCED = {"tools": [tool("clock.now")], "tool_choice": ToolChoice(mode=ToolChoice.MODE_REQUIRED)}


def test_max_tokens_are_at_most_what_the_model_can_output():
    assert body(asks(sampling={"max_tokens": 9000}), ModelProfile(max_tokens=8192))["max_tokens"] == 8192
    assert body(asks(sampling={"max_tokens": 900}), ModelProfile(max_tokens=8192))["max_tokens"] == 900


THINKS = {"reasoning_effort": REASONING_EFFORT_HIGH}


@pytest.mark.parametrize(
    ("sampling", "left_out"),
    [
        ({"temperature": 0.5}, ["sampling.temperature"]),
        (
            {"temperature": 0.0, "top_p": 0.5, "top_k": 3},
            [f"sampling.{x}" for x in ("temperature", "top_p", "top_k")],
        ),
        ({"temperature": 1.0, "top_p": 0.95}, []),
    ],
)
def test_sampling_that_a_thinking_model_refuses_is_left_out_with_a_warning(sampling, left_out):
    request = asks(sampling={**THINKS, **sampling})
    wire, warnings = encode(request)
    assert warnings == left_out
    assert {f"sampling.{name}" for name in sampling if name not in wire} == set(left_out)
    request.strict = bool(left_out)
    if left_out:
        with pytest.raises(InvalidRequest):
            encode(request)
    assert encode(asks(sampling=sampling))[1] == []


def test_a_default_that_a_thinking_model_refuses_gives_a_warning_and_does_not_fail_a_strict_request():
    wire, warnings = encode(
        asks(sampling=THINKS, strict=True), sampling={"temperature": 0.5, "max_tokens": 99}
    )
    assert "temperature" not in wire
    assert warnings == ["sampling.temperature"]


def test_an_option_that_makes_the_model_think_takes_its_sampling_away():
    request = asks(sampling={"temperature": 0.5})
    request.provider_options.update({"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_k": 3})
    wire, warnings = encode(request)
    assert not {"temperature", "top_k"} & wire.keys()
    assert warnings == ["sampling.temperature", "provider_options.top_k"]


def test_a_current_model_thinks_adaptively_and_takes_an_effort():
    wire = body(asks(sampling={"reasoning_effort": REASONING_EFFORT_LOW}))
    assert wire["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert wire["output_config"] == {"effort": "low"}


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [
        (REASONING_EFFORT_LOW, 16_384, 1024),
        (REASONING_EFFORT_MEDIUM, 16_384, 4096),
        (REASONING_EFFORT_HIGH, 60_000, 16_384),
        (REASONING_EFFORT_HIGH, 4000, 2000),
    ],
)
def test_an_older_model_gets_a_budget_that_leaves_room_for_the_reply(effort, max_tokens, budget):
    wire = body(asks(sampling={"reasoning_effort": effort, "max_tokens": max_tokens}), OLD)
    assert wire["thinking"] == {"type": "enabled", "budget_tokens": budget, "display": "summarized"}
    assert "output_config" not in wire


def test_max_tokens_too_small_for_thinking_give_a_warning():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH, "max_tokens": 100})
    wire, warnings = encode(request, OLD)
    assert "thinking" not in wire
    assert warnings == ["sampling.reasoning_effort"]


def test_thinking_can_be_turned_off_if_the_model_allows_it():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE})
    assert body(request)["thinking"] == {"type": "disabled"}
    assert encode(request, ALWAYS_THINKS)[1] == ["sampling.reasoning_effort"]


def test_a_forced_tool_call_turns_thinking_off():
    profile = ModelProfile(thinks_by_default=True)
    wire = body(asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}, **FORCED), profile)
    assert (wire["thinking"], wire["output_config"]) == ({"type": "disabled"}, {"effort": "high"})
    assert wire["tool_choice"] == {"type": "any"}


def test_a_model_that_always_thinks_cannot_be_forced_to_call_a_tool():
    wire, warnings = encode(asks(**FORCED), ALWAYS_THINKS)
    assert "tool_choice" not in wire
    assert warnings == ["tool_choice"]


def test_thinking_of_an_unknown_model_is_left_alone():
    wire = body(asks(**FORCED))
    assert wire["tool_choice"] == {"type": "any"}
    assert "thinking" not in wire


# Formats


def schema(**keywords):
    response_format = ResponseFormat(json_schema=JsonSchemaFormat(name="booking"))
    response_format.json_schema.schema.update(keywords)
    return response_format


def test_the_vendor_enforces_a_schema():
    booking = schema(type="object", properties={"people": {"type": "integer"}}, required=["people"])
    assert body(asks(response_format=booking))["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"people": {"type": "integer"}},
            "required": ["people"],
            "additionalProperties": False,
        },
    }


def test_bounds_that_the_vendor_does_not_enforce_go_into_a_description_and_a_warning():
    people = {"type": "integer", "description": "How many.", "minimum": 1}
    booking = schema(type="object", properties={"people": people})
    wire, warnings = encode(asks(response_format=booking))
    sent = wire["output_config"]["format"]["schema"]["properties"]["people"]
    assert sent == {"type": "integer", "description": 'How many.\n\n{"minimum":1}'}
    assert warnings == ["response_format.json_schema.schema"]
    with pytest.raises(InvalidRequest):
        encode(asks(response_format=booking, strict=True))


def test_nested_schemas_are_adapted_as_well():
    point = {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
    route = schema(
        **{"$defs": {"point": point}},
        type="object",
        properties={
            "path": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/point"}},
            "day": {"type": "string", "format": "date"},
            "end": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {}}]},
        },
    )
    sent = body(asks(response_format=route))["output_config"]["format"]["schema"]
    assert sent["$defs"]["point"] == point
    assert sent["properties"] == {
        "path": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/point"}},
        "day": {"type": "string", "format": "date"},
        "end": {
            "anyOf": [{"type": "null"}, {"type": "object", "properties": {}, "additionalProperties": False}]
        },
    }


def test_a_format_and_an_effort_can_be_combined():
    text = schema(type="object", properties={"x": {"type": "string"}})
    wire = body(asks(response_format=text, sampling={"reasoning_effort": REASONING_EFFORT_HIGH}))
    assert wire["output_config"].keys() == {"format", "effort"}


# Options


def test_provider_options_are_merged_into_the_body():
    request = asks(
        tools=[tool("clock.now")],
        sampling={"reasoning_effort": REASONING_EFFORT_HIGH},
        metadata={"flow": "f"},
    )
    search = {"type": "web_search_20260209", "name": "web_search"}
    request.provider_options.update(
        {"service_tier": "auto", "tools": [search], "output_config": {"effort": "max"}}
    )
    wire = body(request)
    assert (wire["service_tier"], wire["output_config"]) == ("auto", {"effort": "max"})
    assert [each["name"] for each in wire["tools"]] == ["clock_now", "web_search"]
    assert "metadata" not in wire


@pytest.mark.parametrize("name", ["model", "messages", "system", "stream", "max_tokens"])
def test_provider_options_may_not_set_reserved_fields(name):
    request = asks()
    request.provider_options.update({name: "x"})
    with pytest.raises(InvalidRequest, match=name):
        encode(request)


def test_a_count_request_contains_the_same_prompt():
    request = asks(
        says("Be brief.", ROLE_SYSTEM), "Hi", tools=[tool("clock.now")], sampling={"max_tokens": 9}
    )
    encoder = RequestEncoder("anthropic", RequestDefaults())
    counted = json.loads(encoder.encode_count(request, "claude", DEFAULT_PROFILE))
    assert counted.keys() == {"model", "messages", "system", "tools"}
    assert all(body(request)[name] == value for name, value in counted.items())
