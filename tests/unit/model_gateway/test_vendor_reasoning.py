"""Reasoning goes back to the vendors that take it, and is turned off in each vendor's words."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    Message,
    Part,
    Reasoning,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_NONE,
    ToolChoice,
)
from clawdbot_model_gateway.formats.vendor_profile import VENDOR_PROFILES, VendorProfile

from tests.support.chat_requests import answered, called, encode
from tests.support.generate_requests import asks, says, tool

NEEDS_REASONING = ["deepseek", "moonshot", "siliconflow", "xiaomi"]
TAKES_REASONING = [(vendor, "reasoning_content") for vendor in NEEDS_REASONING]


@pytest.mark.parametrize(
    ("vendor", "field"),
    [
        *TAKES_REASONING,
        *(("zhipu", "reasoning_content"), ("alibaba", "reasoning_content")),
        *(("openrouter", "reasoning"), ("cerebras", "reasoning")),
    ],
)
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


@pytest.mark.parametrize("vendor", NEEDS_REASONING)
def test_where_there_are_tools_each_message_of_the_assistant_has_its_reasoning(vendor):
    said = [
        says("Hello", ROLE_ASSISTANT),
        Message(role=ROLE_ASSISTANT, parts=[Part(text="a"), Part(text="b")]),
    ]
    own = Message(role=ROLE_ASSISTANT, parts=[Part(reasoning=Reasoning(text="hm")), Part(text="noon")])
    request = asks("Hi", said[0], "When?", called(thought="clock"), answered(), said[1], "And?", own, "Bye")
    request.tools.append(tool("clock.now"))
    messages = encode(request, VENDOR_PROFILES[vendor])[0]["messages"]
    sent = [each.get("reasoning_content") for each in messages if each["role"] == "assistant"]
    assert sent == [" ", "clock", " ", "hm"]
    assert not any("reasoning_content" in each for each in messages if each["role"] != "assistant")


def test_thoughts_go_back_in_the_text_where_the_vendor_writes_them_there():
    own = Message(role=ROLE_ASSISTANT, parts=[Part(reasoning=Reasoning(text="hm")), Part(text="noon")])
    request = asks("When?", called(thought="clock"), answered(), own, "And?", says("Hello", ROLE_ASSISTANT))
    messages = encode(request, VENDOR_PROFILES["minimax"])[0]["messages"]
    sent = [each["content"] for each in messages if each["role"] == "assistant"]
    assert sent == ["<think>\nclock\n</think>\n\n", "<think>\nhm\n</think>\n\nnoon", "Hello"]
    assert messages[1]["tool_calls"]


def test_minimax_gets_one_instruction_at_the_beginning():
    request = asks(says("A.", ROLE_SYSTEM), says("B.", ROLE_SYSTEM), "Hi", says("C.", ROLE_SYSTEM))
    messages = encode(request, VENDOR_PROFILES["minimax"])[0]["messages"]
    assert messages == [
        {"role": "system", "content": "A.\n\nB."},
        {"role": "user", "content": "Hi\n\nC."},
    ]


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


# Thinking that is turned off

OFF = {"thinking": {"type": "disabled"}}
THINKING_OFF = [
    ("deepseek", "deepseek-v4-pro", OFF),
    ("moonshot", "kimi-k2.6", OFF),
    ("alibaba", "qwen3.5-plus", {"enable_thinking": False}),
]


@pytest.mark.parametrize(("vendor", "model", "off"), THINKING_OFF)
@pytest.mark.parametrize(
    "choice",
    [ToolChoice(mode=ToolChoice.MODE_REQUIRED), ToolChoice(mode=ToolChoice.MODE_NAMED, name="clock.now")],
)
def test_models_that_refuse_a_forced_call_while_they_think_do_not_think(vendor, model, off, choice):
    request = asks(tools=[tool("clock.now")], tool_choice=choice, strict=True)
    wire, warnings = encode(request, VENDOR_PROFILES[vendor], model)
    assert wire["tool_choice"] not in ("auto", "none")
    assert {name: wire.get(name) for name in off} == off
    assert warnings == []
    request = asks(
        tools=[tool("clock.now")], tool_choice=choice, sampling={"reasoning_effort": REASONING_EFFORT_HIGH}
    )
    wire, warnings = encode(request, VENDOR_PROFILES[vendor], model)
    assert "reasoning_effort" not in wire
    assert warnings == ["sampling.reasoning_effort"]


@pytest.mark.parametrize(("vendor", "model", "off"), [*THINKING_OFF, ("zhipu", "glm-5", OFF)])
def test_an_effort_of_none_turns_thinking_off_in_the_vendors_words(vendor, model, off):
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE}, strict=True)
    wire, _ = encode(request, VENDOR_PROFILES[vendor], model)
    assert {name: wire.get(name) for name in off} == off
    assert "reasoning_effort" not in wire


@pytest.mark.parametrize(
    ("vendor", "model"),
    [("moonshot", "kimi-k2-0905"), ("alibaba", "qwen3-coder-plus"), ("alibaba", "qwq-plus"), ("groq", "x")],
)
def test_other_models_are_forced_as_they_are(vendor, model):
    choice = ToolChoice(mode=ToolChoice.MODE_REQUIRED)
    wire, _ = encode(asks(tools=[tool("clock.now")], tool_choice=choice), VENDOR_PROFILES[vendor], model)
    assert set(wire) == {"model", "messages", "tools", "tool_choice"}


def test_a_forced_call_that_the_vendor_cannot_be_asked_for_leaves_thinking_alone():
    choice = ToolChoice(mode=ToolChoice.MODE_REQUIRED)
    request = asks(tools=[tool("clock.now")], tool_choice=choice)
    wire, warnings = encode(request, VENDOR_PROFILES["zhipu"], "glm-5")
    assert set(wire) == {"model", "messages", "tools"}
    assert warnings == ["tool_choice"]


@pytest.mark.parametrize(("vendor", "model", "off"), THINKING_OFF)
def test_thinking_is_left_alone_where_no_call_is_forced(vendor, model, off):
    for mode in (ToolChoice.MODE_AUTO, ToolChoice.MODE_NONE):
        request = asks(tools=[tool("clock.now")], tool_choice=ToolChoice(mode=mode))
        assert off.keys().isdisjoint(encode(request, VENDOR_PROFILES[vendor], model)[0])


def test_an_option_of_the_caller_comes_before_what_turns_thinking_off():
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE})
    request.provider_options.update({"thinking": {"type": "enabled"}})
    wire, _ = encode(request, VENDOR_PROFILES["deepseek"], "deepseek-v4-pro")
    assert wire["thinking"] == {"type": "enabled"}
