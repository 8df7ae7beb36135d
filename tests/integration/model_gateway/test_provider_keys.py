"""A backend with several keys, on a real socket: which key goes out, and that none is shown."""

from __future__ import annotations

import json

import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import ListBackendsRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest

from tests.support.fake_openai import Answer, completion, error, fake_openai, sse, text_chunks, whole
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
KEYS = [f"sk-key-number-{number}-0123456789" for number in range(3)]


def answer(rpc):
    return whole(completion()) if rpc == "generate" else Answer([sse(*text_chunks("Good"))])


def used(backend):
    return [KEYS.index(each.headers["authorization"].removeprefix("Bearer ")) for each in backend.asked]


@RPCS
async def test_a_key_without_quota_is_replaced_by_the_next_one(tmp_path, rpc):
    async with fake_openai() as backend:
        model = compatible(backend.url, models=["m"], api_keys=[KEYS[0], {"key": KEYS[1]}, KEYS[2]])
        async with gateway(tmp_path, model=model) as served:
            backend.will(
                error(429, "You exceeded your current quota", "insufficient_quota"),
                error(401, f"Incorrect API key provided: {KEYS[1]}", "invalid_api_key"),
                *[answer(rpc)] * 3,
            )
            for _ in range(3):
                assert await served.client.run(asks(), rpc)
            assert used(backend) == [0, 1, 2, 2, 2]
            assert served.idle


async def test_no_key_is_shown_in_errors_logs_and_lists(tmp_path, capsys):
    async with fake_openai() as backend:
        model = compatible(backend.url, models=["m"], api_keys=KEYS)
        async with gateway(tmp_path, model=model) as served:
            backend.will(*[error(401, f"Incorrect API key: {key}", "invalid_api_key") for key in KEYS])
            fault = await served.client.fault(asks())
            assert fault.reason == "BACKEND_AUTH"
            assert "none of the 3 keys can be used" in fault.message
            assert fault.retry_after == pytest.approx(600, abs=30)
            listed = await served.client.admin.ListBackends(ListBackendsRequest())
            shown = f"{fault} {listed} {json.dumps(served.application.describe())} {capsys.readouterr()}"
    assert not any(key in shown for key in KEYS)


async def test_embeddings_use_the_keys_as_well(tmp_path):
    async with fake_openai() as backend:
        model = compatible(backend.url, models=["m"], api_keys=KEYS)
        async with gateway(tmp_path, model=model) as served:
            backend.will(error(429, "slow down"))
            assert (await served.client.gateway.Embed(EmbedRequest(texts=["a"]))).embeddings
            assert used(backend) == [0, 1]
