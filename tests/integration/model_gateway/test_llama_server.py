"""The gateway in front of a model server that this project did not write: llama.cpp's, with a small model."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import grpc.aio
import pytest
from clawdbot.common.v1.message_pb2 import ROLE_USER, Media, Message, Part
from clawdbot.model_gateway.v1.generation_pb2 import ResponseFormat
from clawdbot_model_gateway.core.errors import ContextTooLong, RequestRefused
from clawdbot_model_gateway.core.provider import Embedder

from tests.support.conditions import until
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, check_grammar, collect, finish_of, text_of
from tests.support.llama_server import SLOTS, llama_server
from tests.support.providers import make, started
from tests.support.tiny_model import REPLY, write_tiny_model

ENDLESS = {"ignore_eos": True}
"""llama.cpp's own field: the model generates until its context is full."""
OTHER = ("Bad", "▁morning", "!")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def file(folder):
    return write_tiny_model(folder / "tiny.gguf")


@pytest.fixture
async def server(file):
    async with llama_server(file) as root:
        yield root


@pytest.fixture
async def provider(server):
    async for each in started(make(provider="openai_compatible", endpoint=f"{server}/v1")):
        yield each


async def fetched(url, body=None):
    async with (
        aiohttp.ClientSession() as session,
        session.request("POST" if body else "GET", url, json=body) as answer,
    ):
        return await answer.json()


async def busy_slots(root):
    return sum(each["is_processing"] for each in await fetched(f"{root}/slots"))


def endless(**more):
    request = asks(**more)
    request.provider_options.update(ENDLESS)
    return request


def schema(properties):
    response_format = ResponseFormat()
    response_format.json_schema.name = "answer"
    response_format.json_schema.schema.update(
        {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )
    return response_format


async def test_it_lists_the_model(provider):
    assert [each.name for each in await provider.list_models()] == ["tiny"]


async def test_a_reply_is_the_same_with_and_without_streaming(provider):
    streamed = await collect(provider.stream(asks(), "tiny"))
    whole = await provider.generate(asks(), "tiny")
    for events in (streamed, whole):
        check_grammar(events)
        assert (text_of(events), finish_of(events)) == (REPLY, "stop")
        assert events[0].started.model == "tiny"
    assert sum(each.HasField("text_delta") for each in streamed) >= sum(
        each.HasField("text_delta") for each in whole
    )


async def test_usage_is_what_the_servers_own_tokenizer_counts(provider, server):
    usage = (await provider.generate(asks("Good evening"), "tiny"))[-2].usage
    prompt = "<|user|>Good evening\n<|assistant|>"
    body = {"content": prompt, "add_special": True}
    counted = len((await fetched(f"{server}/tokenize", body))["tokens"])
    assert (usage.input_tokens, usage.output_tokens) == (counted, len(("Good", " evening", ".", "</s>")))
    again = (await provider.generate(asks("Good evening"), "tiny"))[-2].usage
    assert 0 < again.cached_tokens < again.input_tokens


async def test_max_tokens_truncates_the_reply(provider):
    events = await collect(provider.stream(endless(sampling={"max_tokens": 20}), "tiny"))
    assert finish_of(events) == "length"
    assert events[-1].finished.truncated
    assert events[-2].usage.output_tokens == 20


async def test_a_reply_matches_its_schema(provider):
    request = asks(
        response_format=schema({"open": {"type": "boolean"}, "day": {"enum": ["sat", "sun"]}}),
        sampling={"max_tokens": 300},
    )
    for events in (await collect(provider.stream(request, "tiny")), await provider.generate(request, "tiny")):
        answer = json.loads(text_of(events))
        assert set(answer) == {"open", "day"}
        assert isinstance(answer["open"], bool)
        assert answer["day"] in {"sat", "sun"}


async def test_a_prompt_that_is_too_long_is_context_too_long(provider):
    with pytest.raises(ContextTooLong, match="context size"):
        await provider.generate(asks("long " * 2000), "tiny")


async def test_an_image_for_a_text_model_is_refused_and_not_a_backend_failure(provider):
    image = Message(role=ROLE_USER, parts=[Part(image=Media(media_type="image/png", data=b"png"))])
    with pytest.raises(RequestRefused, match="image input is not supported"):
        await provider.generate(asks(image), "tiny")


async def test_vectors_come_in_the_order_of_the_texts(provider):
    if not isinstance(provider, Embedder):
        pytest.skip("openai_compatible does not embed")
    both = await provider.embed(["Good evening", "Bad morning"], "tiny", None)
    alone = await provider.embed(["Bad morning"], "tiny", None)
    assert [len(each) for each in both.vectors] == [64, 64]
    assert both.vectors[1] == pytest.approx(alone.vectors[0], abs=1e-4)
    assert both.vectors[0] != pytest.approx(both.vectors[1], abs=1e-2)
    assert both.usage.input_tokens > alone.usage.input_tokens


@pytest.mark.parametrize("ended_by", ["the caller", "the gateway's shutdown"])
async def test_ending_a_stream_early_frees_its_slot_in_the_server(server, tmp_path, ended_by):
    async with gateway(tmp_path, model=compatible(f"{server}/v1")) as served:
        call = served.client.stream(endless())
        async for event in call:
            if event.WhichOneof("event") == "text_delta":
                break
        assert await busy_slots(server) == 1
        if ended_by == "the caller":
            call.cancel()
        else:
            await served.host.stop(0)

        async def is_idle():
            return await busy_slots(server) == 0

        await until(is_idle)


async def test_more_requests_than_slots_are_all_answered(server, tmp_path):
    async with gateway(tmp_path, model=compatible(f"{server}/v1")) as served:
        replies = await asyncio.gather(
            *(served.client.events(asks(f"number {each}")) for each in range(SLOTS * 8))
        )
    assert {text_of(each) for each in replies} == {REPLY}


async def test_switching_an_alias_between_two_servers_under_load_loses_no_request(folder, file, tmp_path):
    other = write_tiny_model(folder / "other.gguf", OTHER)
    async with llama_server(file, "one") as first, llama_server(other, "two") as second:
        # The server may close a connection just as the next request goes out on it, which is not sent again.
        once = {"keep_alive": 0}
        backends = {"a": compatible(f"{first}/v1", http=once), "b": compatible(f"{second}/v1", http=once)}
        models = {"backends": backends, "aliases": {"chat": "a/one", "draft": "b/two"}}
        async with gateway(tmp_path, models=models) as served:
            over, progress = asyncio.Event(), asyncio.Event()
            replies = []

            async def ask(alias):
                while not over.is_set():
                    events = await served.client.events(asks(model=alias))
                    check_grammar(events)
                    replies.append((events[0].started.model, text_of(events), finish_of(events)))
                    if len(replies) % 4 == 0:
                        progress.set()

            async def switch():
                for _ in range(10):
                    for alias, target in (
                        ("chat", "b/two"),
                        ("draft", "a/one"),
                        ("chat", "a/one"),
                        ("draft", "b/two"),
                    ):
                        reply = await served.client.switch(alias, target)
                        assert reply.elapsed.ToNanoseconds() > 0
                        await progress.wait()
                        progress.clear()
                over.set()

            async with asyncio.timeout(90), asyncio.TaskGroup() as group:
                for alias in ("chat", "draft") * 4:
                    group.create_task(ask(alias))
                group.create_task(switch())
            assert served.idle
    assert len(replies) >= 160
    assert set(replies) == {("one", REPLY, "stop"), ("two", "Bad morning!", "stop")}


async def test_emulated_json_is_valid_or_response_format_missed(server, tmp_path):
    model = compatible(
        f"{server}/v1", name="tiny", unsupported=["response_format.json_schema", "response_format.json"]
    )
    response_format = schema({"open": {"type": "boolean"}})
    async with gateway(tmp_path, model=model) as each:
        request = asks(response_format=response_format, sampling={"max_tokens": 200})
        try:
            reply = await each.client.run(request, "generate")
        except grpc.aio.AioRpcError:
            assert (await each.client.fault(request)).reason == "RESPONSE_FORMAT_MISSED"
        else:
            assert isinstance(json.loads(reply.message.parts[0].text)["open"], bool)
            assert [w.code for w in reply.warnings] == ["FORM_EMULATED"]
