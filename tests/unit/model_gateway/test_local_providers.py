"""The providers without a network: echo and scripted."""

from __future__ import annotations

import asyncio
import time

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    Media,
    Message,
    Part,
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import ToolChoice
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.backend_config import plan_backends
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    ContextTooLong,
    QuotaExhausted,
    RequestRefused,
)
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider
from clawdbot_model_gateway.providers.text_chunks import split_chunks
from clawdbot_model_gateway.settings import BackendSettings, GatewaySettings
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import load
from hypothesis import given
from hypothesis import strategies as st

from tests.support.generate_requests import asks, check_grammar, collect, finish_of, says, text_of, tool


def make(**settings):
    return make_provider("model", BackendSettings(**settings), installed_providers())


async def echoed(request, **settings):
    events = await collect(make(provider="echo", **settings).stream(request, "echo"))
    check_grammar(events)
    return events


@given(st.text(max_size=80))
def test_chunks_joined_are_the_text(text):
    assert "".join(split_chunks(text)) == text
    assert all(split_chunks(text))


def test_words_keep_their_space_and_chinese_is_split_by_characters():
    assert split_chunks("Good evening 你好!") == ["Good", " evening", " 你", "好", "!"]


async def test_echo_repeats_the_users_last_message():
    request = asks(says("Be brief.", ROLE_SYSTEM), "one", says("two", ROLE_ASSISTANT), "three")
    assert text_of(await echoed(request)) == "three"


async def test_echo_repeats_a_tools_last_result():
    result = ToolResult(call_id="c1", content=[Part(text="booked"), Part(image=Media(uri="x"))])
    request = asks("a table", Message(role=ROLE_TOOL, parts=[Part(tool_result=result)]))
    assert text_of(await echoed(request)) == "booked\n[image]"


async def test_echo_repeats_lone_instructions():
    assert text_of(await echoed(asks(says("Greet.", ROLE_SYSTEM)))) == "Greet."


async def test_echo_calls_no_tool_even_if_one_is_required():
    choice = ToolChoice(mode=ToolChoice.MODE_REQUIRED)
    events = await echoed(asks("hi", tools=[tool("t")], tool_choice=choice))
    assert (text_of(events), finish_of(events)) == ("hi", "stop")
    assert [each.field for each in events[0].started.warnings] == ["tool_choice"]
    assert not (await echoed(asks("hi", tools=[tool("t")])))[0].started.warnings


@pytest.mark.parametrize(
    ("transform", "text"), [("upper", "ONE TWO"), ("lower", "one two"), ("reverse", "owT enO")]
)
async def test_echo_transforms_the_text(transform, text):
    assert text_of(await echoed(asks("One Two"), transform=transform)) == text


async def test_echo_honours_max_tokens_of_request_and_configuration():
    events = await echoed(asks("a b c d"), max_tokens=3)
    assert (text_of(events), finish_of(events)) == ("a b c", "length")
    assert events[-1].finished.truncated
    events = await echoed(asks("a b c d", sampling={"max_tokens": 2}), max_tokens=3)
    assert (text_of(events), events[-2].usage.output_tokens) == ("a b", 2)
    assert finish_of(await echoed(asks("a b", sampling={"max_tokens": 2}))) == "stop"


async def test_echo_honours_stop_sequences():
    events = await echoed(asks("a b c d", sampling={"stop": ["d", "c"]}))
    assert (text_of(events), finish_of(events)) == ("a b ", "stop")


async def test_echo_honours_delay_and_pace():
    started_at = time.monotonic()
    await echoed(asks("a b c"), delay="20ms", pace="20ms")
    assert time.monotonic() - started_at >= 0.055


# Scripted


async def scripted(request, *replies):
    events = await collect(make(provider="scripted", replies=replies).stream(request, "scripted"))
    check_grammar(events)
    return events


async def test_the_first_matching_reply_is_sent():
    replies = ({"when": "TABLE", "text": "one"}, {"when": "t", "text": "two"}, {"text": "three"})
    for text, reply in {"a table": "one", "tea": "two", "hi": "three"}.items():
        assert text_of(await scripted(asks(text), *replies)) == reply


async def test_after_a_used_up_reply_comes_the_next():
    provider = make(provider="scripted", replies=({"text": "one", "times": 2}, {"text": "two"}))
    sent = [text_of(await provider.generate(asks(), "scripted")) for _ in range(4)]
    assert sent == ["one", "one", "two", "two"]


async def test_a_reply_can_wait_for_a_tools_result():
    replies = (
        {"after_tool": "tables.reserve", "text": "Booked."},
        {"tool_calls": [{"name": "tables.reserve", "arguments": {"people": 4}}]},
    )
    first = await scripted(asks("a table", tools=[tool("tables.reserve")]), *replies)
    call = accumulate(first).message.parts[0].tool_call
    result = Part(tool_result=ToolResult(call_id=call.id, content=[Part(text="T-1")]))
    request = asks(
        "a table",
        Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=ToolCall(id=call.id, name=call.name))]),
        Message(role=ROLE_TOOL, parts=[result]),
    )
    assert text_of(await scripted(request, *replies)) == "Booked."


async def test_a_reply_may_contain_reasoning_usage_and_any_finish_reason():
    reply = {
        "reasoning": "hm",
        "text": "No.",
        "finish": "content_filter",
        "raw_finish": "SAFETY",
        "usage": {"input": 7, "output": 3, "cached": 5, "reasoning": 1},
    }
    whole = accumulate(await scripted(asks(), reply))
    assert [each.WhichOneof("content") for each in whole.message.parts] == ["reasoning", "text"]
    assert (whole.usage.input_tokens, whole.usage.cached_tokens, whole.usage.reasoning_tokens) == (7, 5, 1)
    assert whole.raw_finish_reason == "SAFETY"


@pytest.mark.parametrize(
    ("kind", "error_class"),
    [("quota", QuotaExhausted), ("context_too_long", ContextTooLong), ("failed", BackendFailed)],
)
async def test_a_fault_raises_the_error_that_it_names(kind, error_class):
    with pytest.raises(error_class):
        await scripted(asks(), {"text": "x", "fault": kind})


async def test_a_hang_ends_when_the_request_is_cancelled():
    provider = make(provider="scripted", replies=({"text": "a b", "fault": {"kind": "hang", "after": 1}},))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await provider.generate(asks(), "scripted")


async def test_a_fault_after_the_last_chunk_comes_before_the_end():
    events = await scripted(asks(), {"text": "a b", "fault": {"kind": "cut", "after": 2}})
    assert (text_of(events), finish_of(events)) == ("a b", "truncated")


async def test_a_request_without_a_matching_reply_is_refused():
    with pytest.raises(RequestRefused):
        await scripted(asks("hi"), {"when": "table", "text": "x"})


async def test_a_scripts_path_is_relative_to_the_configuration(tmp_path):
    (tmp_path / "replies.yaml").write_text("replies:\n  - text: from the file\n")
    config = tmp_path / "clawdbot.yaml"
    config.write_text("model: {provider: scripted, file: replies.yaml}")
    backend = plan_backends(load(GatewaySettings, config, {})).backends["scripted"]
    provider = make_provider("model", backend, installed_providers())
    assert text_of(await provider.generate(asks(), "scripted")) == "from the file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a list of replies under the single key `replies`"),
        ("- text: x", "a list of replies"),
        ("replies: []", "a list of replies"),
        ("replies: [{txt: x}]", "replies[0].txt"),
        ("replies: [{finish: enough}]", "must be one of "),
        ("replies: [{fault: flood}]", "must be one of auth"),
        ("replies: [\n{", "replies.yaml:2"),
        ("replies: [{tool_calls: [{name: t, arguments: {x: .nan}}]}]", "arguments"),
    ],
)
def test_an_invalid_script_is_a_startup_error_with_its_place(tmp_path, text, message):
    path = tmp_path / "replies.yaml"
    path.write_text(text)
    with pytest.raises(StartupError) as refused:
        make(provider="scripted", file=str(path))
    assert message in str(refused.value)


def test_a_missing_script_is_a_startup_error(tmp_path):
    with pytest.raises(StartupError, match="cannot read the script"):
        make(provider="scripted", file=str(tmp_path / "nowhere.yaml"))
