"""Replies that fail in the middle: what is sent again, who is asked instead, and what was spent."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.usage_pb2 import Usage

from tests.support import fake_anthropic as anthropic
from tests.support.fake_openai import KEY, Answer, chunk, sse, usage_chunk
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, text_of
from tests.support.priced_gateway import PRICE, usage_of

RPCS = pytest.mark.parametrize("rpc", ["generate", "stream"])
RETRY = {"attempts": 2, "base": 0.01, "max": 0.05}
OVERLOADED = {"error": {"message": "overloaded", "code": 503}}
SLOW_DOWN = {"error": {"message": "slow down", "code": 429}}
SPENT = {
    "choices": [
        {
            "index": 0,
            "delta": {"content": ""},
            "finish_reason": "error",
            "error": {"code": 503, "message": "overloaded"},
        }
    ],
    "usage": {"prompt_tokens": 700, "completion_tokens": 300},
}
"""An error as OpenRouter sends it, with what the vendor behind it charges."""


def posts(fake) -> int:
    return len([each for each in fake.asked if each.body])


def section(fake, **more):
    return compatible(fake.url, api_key=KEY, models=["m"], prices={"m": PRICE}, **more)


def two(a, b, **more):
    backends = {"a": section(a, **more), "b": section(b)}
    return {"backends": backends, "aliases": {"chat": ["a/m", {"target": "b/m", "fallback": True}]}}


def said(reply, rpc):
    return text_of(reply) if rpc == "stream" else "".join(each.text for each in reply.message.parts)


@RPCS
@pytest.mark.parametrize(
    "broken",
    [
        [chunk({"content": "Good"}), OVERLOADED],
        [chunk({"content": "Good"}), SLOW_DOWN],
        [chunk({"reasoning": "Hm"}), OVERLOADED],
        [usage_chunk(700, 300), OVERLOADED],
        [SPENT],
    ],
    ids=["text", "limit after text", "thought", "usage", "usage with the error"],
)
async def test_a_reply_that_failed_after_it_began_is_not_asked_for_again(tmp_path, a, rpc, broken):
    async with gateway(tmp_path, model=section(a, retry=RETRY)) as served:
        a.will(Answer([sse(*broken)]))
        assert (await served.client.fault(asks(), rpc)).reason in {
            "BACKEND_OVERLOADED",
            "BACKEND_RATE_LIMITED",
        }
        assert posts(a) == 1


@RPCS
async def test_an_overload_before_anything_is_asked_again(tmp_path, a, rpc):
    async with gateway(tmp_path, model=section(a, retry=RETRY)) as served:
        a.will(Answer([sse(chunk({"role": "assistant", "content": ""}), OVERLOADED)]))
        await served.client.run(asks(), rpc)
        assert posts(a) == 2


@RPCS
async def test_an_overload_of_anthropic_after_text_is_not_asked_again(tmp_path, rpc):
    broken = anthropic.sse(
        anthropic.begin(),
        *anthropic.says("Good"),
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    )
    async with anthropic.fake_anthropic() as backend:
        model = {
            "provider": "anthropic",
            "endpoint": backend.url,
            "api_key": anthropic.KEY,
            "models": ["m"],
            "retry": RETRY,
        }
        async with gateway(tmp_path, model=model) as served:
            backend.will(Answer([broken]))
            assert (await served.client.fault(asks(), rpc)).reason == "BACKEND_OVERLOADED"
            assert posts(backend) == 1


@pytest.mark.parametrize(
    "broken", [[chunk({"content": "Good"}), SLOW_DOWN], [usage_chunk(700, 300), SLOW_DOWN]]
)
async def test_another_key_is_not_charged_for_the_same_reply(tmp_path, a, broken):
    keys = {"api_key": None, "api_keys": [{"key": f"{KEY}-1"}, {"key": f"{KEY}-2"}]}
    async with gateway(tmp_path, model={**section(a), **keys}) as served:
        a.will(Answer([sse(*broken)]))
        await served.client.fault(asks(), "generate")
        assert posts(a) == 1


@RPCS
@pytest.mark.parametrize("broken", [[SPENT], [usage_chunk(700, 300), OVERLOADED]])
async def test_what_a_failed_reply_says_it_cost_is_counted(tmp_path, a, b, rpc, broken):
    async with gateway(tmp_path, models=two(a, b)) as served:
        a.will(Answer([sse(*broken)]))
        await served.client.run(asks(model="chat"), rpc)
        _, spent = (await usage_of(served))["a/m"]
    assert (spent.input_tokens, spent.output_tokens) == (700, 300)
    assert spent.cost_micros == 700 * PRICE["input"] + 300 * PRICE["output"]


async def test_a_reply_that_failed_unseen_is_charged_by_its_prompt(tmp_path, a, b):
    async with gateway(tmp_path, models=two(a, b)) as served:
        a.will(Answer([sse(chunk({"content": "Good"}), OVERLOADED)]))
        await served.client.run(asks("a question of some length", model="chat"), "generate")
        _, spent = (await usage_of(served)).get("a/m", (0, Usage()))
    assert spent.input_tokens > 0


@RPCS
async def test_the_fallback_is_asked_where_a_record_cannot_be_decoded(tmp_path, a, b, rpc):
    deep = b'{"a": "\\u0041", "b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    async with gateway(tmp_path, models=two(a, b)) as served:
        a.will(Answer([b"data: " + deep + b"\n\n"]), Answer([deep], content_type="application/json"))
        b.will(*[Answer([sse(chunk({"content": "Yes."}, "stop"))])] * 2)
        for _ in range(2):
            reply = await served.client.run(asks(model="chat"), rpc)
            assert said(reply, rpc) == "Yes."
        assert posts(a) == posts(b) == 2
