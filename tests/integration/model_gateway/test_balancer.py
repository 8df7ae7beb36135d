"""The settings of balancing, through the gateway's own API."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks

PARROTS = {"fast": {"provider": "echo"}, "slow": {"provider": "echo", "delay": "200ms"}}


def models(**alias):
    return {"backends": PARROTS, "aliases": {"chat": {"targets": ["fast/echo", "slow/echo"], **alias}}}


async def shares(served, texts, rpc="generate"):
    got = Counter()
    for text in texts:
        if rpc == "generate":
            got[(await served.client.gateway.Generate(asks(text))).backend] += 1
        else:
            got[(await served.client.events(asks(text)))[0].started.backend] += 1
    return got


@pytest.mark.parametrize("rpc", ["stream", "generate"])
@pytest.mark.parametrize("default", [False, True])
async def test_the_faster_backend_gets_the_requests(tmp_path, rpc, default):
    config = {**models(), "balance": "least_latency"} if default else models(balance="least_latency")
    async with gateway(tmp_path, models=config) as served:
        assert (await shares(served, ["hello"] * 30, rpc))["fast"] >= 26


async def test_equal_conversations_go_to_one_backend_and_others_to_both(tmp_path):
    config = models(balance={"by": "prefix", "prefix_length": 18})
    async with gateway(tmp_path, models=config) as served:
        assert len(await shares(served, ["a table for four, please", "a table for four, pronto"] * 3)) == 1
        assert len(await shares(served, [str(number) for number in range(16)])) == 2


async def test_requests_are_weighted_unless_configured_otherwise(tmp_path):
    chat = [{"target": "fast/echo", "weight": 1000}, "slow/echo"]
    config = {"backends": PARROTS, "aliases": {"chat": chat}}
    async with gateway(tmp_path, models=config) as served:
        assert (await shares(served, ["hello"] * 20))["fast"] >= 18
