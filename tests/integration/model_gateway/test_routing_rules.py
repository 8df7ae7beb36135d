"""Rules of the configuration, through the gateway's own API."""

from __future__ import annotations

import pytest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest

from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, tool

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
MODELS = {
    "backends": {"small": {"provider": "echo"}, "big": {"provider": "echo"}, "spare": {"provider": "echo"}},
    "aliases": {"chat": "small/echo", "large": ["big/echo", {"target": "spare/echo", "fallback": True}]},
    "rules": [
        {"when": 'labels.plan == "gold"', "model": "large"},
        {"when": 'tenant == "default" && request.tools.size() > 0', "model": "spare/echo"},
    ],
}


async def backend_of(served, rpc, **request):
    if rpc == "generate":
        return (await served.client.gateway.Generate(asks(**request))).backend
    return (await served.client.events(asks(**request)))[0].started.backend


@RPCS
async def test_a_rule_sends_requests_to_an_alias_or_a_target_whatever_they_ask_for(tmp_path, rpc):
    async with gateway(tmp_path, models=MODELS) as served:
        assert await backend_of(served, rpc) == "small"
        assert await backend_of(served, rpc, tools=[tool("a")]) == "spare"
        for model in ("", "chat", "small/echo", "nobody"):
            assert await backend_of(served, rpc, model=model, metadata={"plan": "gold"}) == "big"


async def test_a_rule_can_be_limited_to_an_alias(tmp_path):
    rules = [{"when": 'request.model == "chat"', "model": "large"}]
    async with gateway(tmp_path, models={**MODELS, "rules": rules}) as served:
        assert await backend_of(served, "generate", model="chat") == "big"
        assert await backend_of(served, "generate", model="small/echo") == "small"


async def test_rules_see_the_new_targets_of_a_switched_alias(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        await served.client.switch("large", "spare/echo")
        assert await backend_of(served, "generate", metadata={"plan": "gold"}) == "spare"


async def test_embeddings_are_not_sent_elsewhere(tmp_path):
    rules = [{"when": "true", "model": "large"}]
    async with gateway(tmp_path, models={**MODELS, "rules": rules}) as served:
        assert (await served.client.gateway.Embed(EmbedRequest(texts=["a"], model="chat"))).backend == "small"
