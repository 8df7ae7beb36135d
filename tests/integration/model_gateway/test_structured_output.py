"""Structured output through the gateway's socket, from servers that do not support the format."""

from __future__ import annotations

import json

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import JsonFormat, ResponseFormat

from tests.support.deadlines import expired
from tests.support.fake_anthropic import KEY as ANTHROPIC_KEY
from tests.support.fake_anthropic import fake_anthropic
from tests.support.fake_openai import HANG, KEY, Answer, completion, fake_openai, whole
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, text_of

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def person(**more):
    response_format = ResponseFormat()
    response_format.json_schema.schema.update(PERSON)
    return asks("How old is Ada?", response_format=response_format, **more)


def says(text):
    return whole(completion({"content": text}))


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


def served(backend, tmp_path, *unsupported):
    model = {
        "provider": "openai_compatible",
        "endpoint": backend.url,
        "api_key": KEY,
        "unsupported": [f"response_format.{each}" for each in unsupported],
    }
    return gateway(tmp_path, model=model)


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_a_server_without_schemas_gets_a_tool_that_receives_the_answer(backend, tmp_path, rpc):
    call = {"id": "c1", "type": "function", "function": {"name": "answer", "arguments": '{"age": 36}'}}
    backend.will(whole(completion({"content": None, "tool_calls": [call]}, "tool_calls")))
    async with served(backend, tmp_path, "json_schema") as each:
        reply = await each.client.run(person(strict=True), rpc)
    text = text_of(reply) if rpc == "stream" else reply.message.parts[0].text
    assert json.loads(text) == {"age": 36}
    body = backend.last
    assert body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
    assert "response_format" not in body


async def test_an_invalid_answer_is_retried_once_and_both_are_counted(backend, tmp_path):
    async with served(backend, tmp_path, "json_schema") as each:
        backend.will(says("I think 36."), says('```json\n{"age": 36}\n```'))
        events = await each.client.events(person())
    check_grammar(events)
    assert text_of(events) == '{"age": 36}'
    assert [(e.code, e.field) for e in events[0].started.warnings] == [
        ("FORM_EMULATED", "response_format.json_schema")
    ]
    usage = next(event.usage for event in events if event.HasField("usage"))
    assert (usage.input_tokens, usage.output_tokens) == (14, 6)


async def test_two_invalid_answers_are_an_error_of_their_own(backend, tmp_path):
    async with served(backend, tmp_path, "json_schema", "json") as each:
        backend.will(says("36"), says('{"age": "old"}'))
        fault = await each.client.fault(person())
    assert fault.reason == "RESPONSE_FORMAT_MISSED"
    assert "age" in fault.message


async def test_any_json_is_requested_from_anthropic_in_the_prompt(tmp_path):
    async with fake_anthropic() as fake:
        model = {"provider": "anthropic", "endpoint": fake.url, "api_key": ANTHROPIC_KEY}
        async with gateway(tmp_path, model=model) as each:
            fault = await each.client.fault(asks(response_format=ResponseFormat(json=JsonFormat())))
    # The fake always replies with a greeting, which is not JSON, twice.
    assert fault.reason == "RESPONSE_FORMAT_MISSED"


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_a_deadline_during_the_retry_ends_it_and_releases_everything(backend, tmp_path, rpc):
    async with served(backend, tmp_path, "json_schema") as each:

        async def attempt(seconds):
            backend.answers.clear()
            backend.will(says("I think 36."), Answer([HANG]))
            return await each.client.fault(person(), rpc, seconds)

        fault = await expired(attempt, backend.busy.is_set)
        assert fault.code == "DEADLINE_EXCEEDED"
        backend.will(says('{"age": 36}'))
        events = await each.client.events(person())
    assert text_of(events) == '{"age": 36}'
