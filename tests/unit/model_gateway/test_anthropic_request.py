"""Everything of a request to Anthropic but its messages: sampling, thinking, formats, options."""

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
from clawdbot_model_gateway.formats.anthropic.models import ModelFacts
from clawdbot_model_gateway.formats.anthropic.request import RequestWriter, Usual
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.anthropic_requests import OF_THE_DAY, body, written
from tests.support.generating import asks, says, tool

NOW = frozenset({"sampling.temperature", "sampling.top_p", "sampling.top_k"})
"""What the newest version of the API has no field for."""


# Sampling


def test_sampling_has_the_vendors_names():
    wire = body(asks(sampling={"max_tokens": 9, "stop": ["#"], "temperature": 0.0, "top_p": 0.5, "top_k": 3}))
    assert (wire["max_tokens"], wire["stop_sequences"]) == (9, ["#"])
    assert (wire["temperature"], wire["top_p"], wire["top_k"]) == (0.0, 0.5, 3)


def test_the_newest_version_has_no_temperature():
    request = asks(sampling={"temperature": 0.5, "top_p": 0.5, "top_k": 3})
    wire, warnings = written(request, unsupported=NOW)
    assert not {"temperature", "top_p", "top_k"} & wire.keys()
    assert sorted(warnings) == sorted(NOW)
    request.strict = True
    with pytest.raises(InvalidRequest):
        written(request, unsupported=NOW)


def test_what_is_configured_and_cannot_be_is_told_and_no_fault_of_the_request():
    usual = {"sampling": {"temperature": 0.5, "seed": 1, "max_tokens": 7}, "unsupported": NOW}
    wire, warnings = written(asks(strict=True), **usual)
    assert (wire["max_tokens"], warnings) == (7, ["sampling.temperature", "sampling.seed"])
    assert written(asks(sampling={"temperature": 0.1}), **usual)[1].count("sampling.temperature") == 1


@pytest.mark.parametrize("name", ["seed", "presence_penalty", "frequency_penalty", "logprobs"])
def test_what_the_api_never_had_is_told(name):
    assert written(asks(sampling={name: 1}))[1] == [f"sampling.{name}"]


def test_no_more_is_asked_for_than_the_model_can_say():
    assert body(asks(), ModelFacts(max_tokens=4096))["max_tokens"] == 4096


# Thinking

OLD = ModelFacts(adaptive=False, budgeted=True, effort=False, always=True)
NEVER_STOPS = ModelFacts(can_stop_thinking=False, always=True)
FORCED = {"tools": [tool("clock.now")], "tool_choice": ToolChoice(mode=ToolChoice.MODE_REQUIRED)}


def test_a_model_of_the_day_decides_itself_and_takes_a_degree():
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
def test_an_older_model_gets_a_budget_that_leaves_room_to_speak(effort, max_tokens, budget):
    wire = body(asks(sampling={"reasoning_effort": effort, "max_tokens": max_tokens}), OLD)
    assert wire["thinking"] == {"type": "enabled", "budget_tokens": budget, "display": "summarized"}
    assert "output_config" not in wire


def test_where_there_is_no_room_to_think_it_is_told():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH, "max_tokens": 100})
    wire, warnings = written(request, OLD)
    assert "thinking" not in wire
    assert warnings == ["sampling.reasoning_effort"]


def test_thinking_can_be_turned_off_where_the_model_allows_it():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE})
    assert body(request)["thinking"] == {"type": "disabled"}
    assert written(request, NEVER_STOPS)[1] == ["sampling.reasoning_effort"]


def test_a_model_that_must_call_a_tool_does_not_think_before():
    facts = ModelFacts(always=True)
    wire = body(asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}, **FORCED), facts)
    assert (wire["thinking"], wire["output_config"]) == ({"type": "disabled"}, {"effort": "high"})
    assert wire["tool_choice"] == {"type": "any"}


def test_a_model_that_always_thinks_cannot_be_made_to_call_a_tool():
    wire, warnings = written(asks(**FORCED), NEVER_STOPS)
    assert "tool_choice" not in wire
    assert warnings == ["tool_choice"]


def test_of_a_model_that_nobody_knows_nothing_is_said():
    wire = body(asks(**FORCED))
    assert wire["tool_choice"] == {"type": "any"}
    assert "thinking" not in wire


# Formats


def schema(**keywords):
    form = ResponseFormat(json_schema=JsonSchemaFormat(name="booking"))
    form.json_schema.schema.update(keywords)
    return form


def test_a_schema_is_held_by_the_vendor():
    form = schema(type="object", properties={"people": {"type": "integer"}}, required=["people"])
    assert body(asks(response_format=form))["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"people": {"type": "integer"}},
            "required": ["people"],
            "additionalProperties": False,
        },
    }


def test_bounds_that_the_vendor_does_not_hold_are_told_to_the_model_and_to_the_caller():
    people = {"type": "integer", "description": "How many.", "minimum": 1}
    form = schema(type="object", properties={"people": people})
    wire, warnings = written(asks(response_format=form))
    sent = wire["output_config"]["format"]["schema"]["properties"]["people"]
    assert sent == {"type": "integer", "description": 'How many.\n\n{"minimum":1}'}
    assert warnings == ["response_format.json_schema.schema"]
    with pytest.raises(InvalidRequest):
        written(asks(response_format=form, strict=True))


def test_schemas_within_schemas_are_closed_as_well():
    point = {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
    form = schema(
        **{"$defs": {"point": point}},
        type="object",
        properties={
            "path": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/point"}},
            "day": {"type": "string", "format": "date"},
            "end": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {}}]},
        },
    )
    sent = body(asks(response_format=form))["output_config"]["format"]["schema"]
    assert sent["$defs"]["point"] == point
    assert sent["properties"] == {
        "path": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/point"}},
        "day": {"type": "string", "format": "date"},
        "end": {
            "anyOf": [{"type": "null"}, {"type": "object", "properties": {}, "additionalProperties": False}]
        },
    }


def test_a_format_and_an_effort_go_together():
    form = schema(type="object", properties={"x": {"type": "string"}})
    wire = body(asks(response_format=form, sampling={"reasoning_effort": REASONING_EFFORT_HIGH}))
    assert wire["output_config"].keys() == {"format", "effort"}


# Options


def test_the_vendors_own_fields_go_along():
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
def test_fields_of_the_gateway_cannot_be_set_besides(name):
    request = asks()
    request.provider_options.update({name: "x"})
    with pytest.raises(InvalidRequest, match=name):
        written(request)


def test_a_count_asks_about_the_same_prompt():
    request = asks(
        says("Be brief.", ROLE_SYSTEM), "Hi", tools=[tool("clock.now")], sampling={"max_tokens": 9}
    )
    counted = json.loads(RequestWriter("anthropic", Usual()).write_count(request, "claude", OF_THE_DAY))
    assert counted.keys() == {"model", "messages", "system", "tools"}
    assert all(body(request)[name] == value for name, value in counted.items())
