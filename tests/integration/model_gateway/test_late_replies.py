"""The rest of a reply comes late, after a finish reason: some vendors send one with every piece."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.http.response_stream import FINISH_TIMEOUT

from tests.support import fake_gemini as gemini
from tests.support import fake_openai as openai
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, tool

CALL = {"index": 0, "id": "c1", "function": {"name": "clock_now", "arguments": "{}"}}
REPLIES = {
    "every piece": (
        [openai.chunk({"content": "Hi"}, "stop"), openai.chunk({"content": ""}, "stop")],
        [openai.chunk({"content": " you"}, "stop")],
    ),
    "thought": (
        [openai.chunk({"reasoning": "Hm"}, "stop"), openai.chunk({"content": ""}, "stop")],
        [openai.chunk({"content": "Hi you"}, "stop")],
    ),
    "call": (
        [openai.chunk({"content": "Hi you"}), openai.chunk({}, "tool_calls")],
        [openai.chunk({"tool_calls": [CALL]}, "tool_calls")],
    ),
}
"""What comes at once, and what comes late."""


async def late(served, backend, begin, end):
    """Text and number of calls of a stream whose end comes after the time for the end of a complete reply."""
    arrived = asyncio.Event()
    asyncio.get_running_loop().call_later(FINISH_TIMEOUT + 0.5, arrived.set)
    backend.will(openai.Answer([begin, arrived, end]))
    parts = accumulate(await served.client.run(asks(tools=[tool("clock.now")]), "stream")).message.parts
    return "".join(each.text for each in parts), sum(each.HasField("tool_call") for each in parts)


@pytest.mark.parametrize("kind", REPLIES)
async def test_what_comes_late_over_chat_completions_is_not_lost(tmp_path, kind):
    begin, end = REPLIES[kind]
    async with openai.fake_openai() as backend:
        model = {
            "provider": "openai_compatible",
            "endpoint": backend.url,
            "api_key": openai.KEY,
        }
        async with gateway(tmp_path, model=model) as served:
            said = await late(served, backend, openai.sse(*begin, done=False), openai.sse(*end))
    assert said == ("Hi you", int(kind == "call"))


async def test_what_comes_late_from_gemini_is_not_lost(tmp_path):
    begin = gemini.sse(gemini.chunk({"text": "Hi"}, finish="STOP"), gemini.chunk({"text": ""}, finish="STOP"))
    end = gemini.sse(gemini.chunk({"text": " you"}, finish="STOP"))
    async with gemini.fake_gemini() as backend:
        model = {"provider": "gemini", "endpoint": backend.url, "api_key": gemini.KEY}
        async with gateway(tmp_path, model=model) as served:
            assert await late(served, backend, begin, end) == ("Hi you", 0)
