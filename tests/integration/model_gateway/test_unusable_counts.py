"""Counts of tokens that are missing or no numbers are estimated, so that nothing is free by mistake."""

from __future__ import annotations

from typing import Any

import pytest
from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_ESTIMATED,
    USAGE_PROVENANCE_PARTIAL,
    USAGE_PROVENANCE_REPORTED,
    Usage,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_model_client.accumulator import accumulate

from tests.support.fake_openai import whole
from tests.support.generate_requests import asks
from tests.support.priced_gateway import PRICE
from tests.support.wires import WIRES, answer, served

INPUT = {"prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count"}
OUTPUT = {"completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count"}
UNUSABLE = [None, 10.5, True, 2**63, -3, "seven", 0, [], {}]


def with_counts(value: Any, names: set[str], count: Any) -> Any:
    """The same JSON with another count under these names."""
    if isinstance(value, dict):
        return {
            name: count if name in names else with_counts(each, names, count) for name, each in value.items()
        }
    return [with_counts(each, names, count) for each in value] if isinstance(value, list) else value


async def usage_with(tmp_path, wire, names: set[str], count: Any, rpc: str) -> Usage:
    """The usage of a reply with such counts."""
    records = with_counts(wire.text("one two ", "three four five six"), names, count)
    body = with_counts(wire.whole("one two three four five six"), names, count)
    async with served(tmp_path, wire, prices={"*": PRICE}) as (backend, client):
        backend.will(answer(wire, rpc, records, body))
        reply = await client.run(asks("a question of some length"), rpc)
    return reply.usage if rpc == "generate" else accumulate(reply).usage


@pytest.mark.parametrize(
    ("rpc", "count"), [*(("generate", each) for each in UNUSABLE), ("stream", None), ("stream", 2**63)]
)
@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
async def test_an_unusable_count_of_the_prompt_is_estimated(tmp_path, wire, rpc, count):
    used = await usage_with(tmp_path, wire, INPUT, count, rpc)
    assert used.provenance == USAGE_PROVENANCE_PARTIAL
    assert used.input_tokens > 5
    assert used.output_tokens == 3
    assert used.cost_micros == used.input_tokens * 3 + 3 * 15


@pytest.mark.parametrize("count", ["12", 12.0, "12.0"], ids=repr)
@pytest.mark.parametrize("rpc", ["generate", "stream"])
@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
async def test_a_count_may_be_written_in_another_way(tmp_path, wire, rpc, count):
    used = await usage_with(tmp_path, wire, INPUT | OUTPUT, count, rpc)
    assert used.provenance == USAGE_PROVENANCE_REPORTED
    assert (used.input_tokens, used.output_tokens) == (12, 12)


@pytest.mark.parametrize("count", [None, 2**63], ids=str)
@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
async def test_an_unusable_count_of_the_reply_is_estimated(tmp_path, wire, count):
    used = await usage_with(tmp_path, wire, OUTPUT, count, "generate")
    assert used.provenance == USAGE_PROVENANCE_PARTIAL
    assert (used.input_tokens, used.output_tokens > 3) == (7, True)


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
async def test_without_any_usable_count_all_is_estimated(tmp_path, wire):
    used = await usage_with(tmp_path, wire, INPUT | OUTPUT, None, "generate")
    assert used.provenance == USAGE_PROVENANCE_ESTIMATED
    assert used.input_tokens > 5
    assert used.output_tokens > 3


@pytest.mark.parametrize("count", UNUSABLE, ids=str)
async def test_an_unusable_count_of_embedded_texts_is_estimated(tmp_path, count):
    async with served(tmp_path, WIRES["chat"], prices={"*": PRICE}) as (backend, client):
        vector = {"object": "embedding", "index": 0, "embedding": [1.0, 2.0]}
        backend.will(whole({"object": "list", "data": [vector], "usage": {"prompt_tokens": count}}))
        reply = await client.gateway.Embed(EmbedRequest(texts=["a text of some length, with commas"]))
    assert reply.usage.provenance == USAGE_PROVENANCE_ESTIMATED
    assert reply.usage.input_tokens > 5
    assert reply.usage.cost_micros == reply.usage.input_tokens * 3
