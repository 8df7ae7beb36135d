"""provider_options beside the fields of a request: one rule for all that sets a field of Chat Completions."""

from __future__ import annotations

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import JsonFormat, ResponseFormat, ToolChoice
from clawdbot_model_gateway.formats.vendor_profile import VENDOR_PROFILES, VendorProfile
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.chat_requests import encode
from tests.support.generate_requests import asks, tool

ANY = VendorProfile()
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def with_options(options, **request):
    asked = asks(**request)
    asked.provider_options.update(options)
    return asked


def test_tools_of_the_vendor_join_the_requests_own():
    search = {"type": "web_search"}
    wire, warnings = encode(with_options({"tools": [search]}, tools=[tool("clock.now")]), ANY)
    assert [each["type"] for each in wire["tools"]] == ["function", "web_search"]
    assert warnings == []
    assert encode(with_options({"tools": [search]}), ANY)[0]["tools"] == [search]


@pytest.mark.parametrize(
    ("options", "request_fields", "replaced"),
    [
        ({"temperature": 1.0}, {"sampling": {"temperature": 0.5}}, "sampling.temperature"),
        ({"max_completion_tokens": 5}, {"sampling": {"max_tokens": 9}}, "sampling.max_tokens"),
        ({"max_tokens": 5}, {"sampling": {"max_tokens": 9}}, "sampling.max_tokens"),
        (
            {"tool_choice": "auto"},
            {"tools": [tool("x")], "tool_choice": ToolChoice(mode=ToolChoice.MODE_REQUIRED)},
            "tool_choice",
        ),
        (
            {"response_format": {"type": "text"}},
            {"response_format": ResponseFormat(json=JsonFormat())},
            "response_format.json",
        ),
    ],
)
def test_a_field_that_options_set_to_something_else_is_reported(options, request_fields, replaced):
    for profile in (ANY, VENDOR_PROFILES["openai"]):
        wire, warnings = encode(with_options(options, **request_fields), profile)
        assert {name: wire[name] for name in options} == options
        assert {"max_tokens", "max_completion_tokens"} - set(wire)
        assert warnings == [replaced]
        with pytest.raises(InvalidRequest, match=replaced):
            encode(with_options(options, strict=True, **request_fields), profile)


def test_options_may_say_what_the_request_says_and_replace_what_the_configuration_says():
    request = with_options({"temperature": 0.5, "top_p": 0.1}, sampling={"temperature": 0.5}, strict=True)
    wire, warnings = encode(request, ANY, top_p=0.9)
    assert (wire["temperature"], wire["top_p"], warnings) == (0.5, 0.1, [])


@pytest.mark.parametrize(
    ("options", "unsupported"),
    [
        ({"response_format": JSON_SCHEMA}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object"}}, "response_format.json"),
        ({"max_completion_tokens": 5}, "sampling.max_tokens"),
        ({"parallel_tool_calls": False}, "tool_choice.disable_parallel"),
        ({"top_logprobs": 3}, "sampling.logprobs"),
    ],
)
def test_options_obey_unsupported_under_each_of_their_names(options, unsupported):
    profile = VendorProfile(unsupported=frozenset({unsupported}))
    wire, warnings = encode(with_options(options), profile)
    assert set(wire) == {"model", "messages"}
    assert warnings == [f"provider_options.{name}" for name in options]


def test_a_format_that_is_supported_is_sent_as_it_is():
    assert encode(with_options({"response_format": JSON_SCHEMA}), ANY)[0]["response_format"] == JSON_SCHEMA
