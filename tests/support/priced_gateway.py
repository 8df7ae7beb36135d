"""A gateway whose models have prices, and what its ledger says about their usage."""

from __future__ import annotations

from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.model_admin_service_pb2 import GetUsageRequest, UsageDimension

from tests.support.cached_gateway import cached

PRICE = {"input": 3, "cached": 0.3, "cache_write": 3.75, "output": 15, "reasoning": 10}
PRICED = {
    "backends": {
        "a": {"provider": "echo", "models": ["m", "n"], "prices": {"m": PRICE, "*": {"output": 1}}},
        "b": {"provider": "echo", "models": ["m"], "prices": {"*": {"input": 0.000001}}},
    },
    "aliases": {"chat": "a/m", "both": ["a/m", {"target": "b/m", "fallback": True}]},
}


async def usage_of(served, *group_by: str, **fields) -> dict[str, tuple[int, Usage]]:
    """Record → its requests and usage, by what it is grouped by (the target where nothing is said)."""
    chosen = [UsageDimension.Value(f"USAGE_DIMENSION_{each}") for each in group_by or ("MODEL",)]
    page = await served.client.admin.GetUsage(GetUsageRequest(group_by=chosen, **fields))
    return {
        "/".join(filter(None, (each.tenant, each.key_id, each.model))): (each.requests, each.usage)
        for each in page.records
    }


def priced(tmp_path, *scripts, **options):
    return cached(tmp_path, *scripts, models=PRICED, **options)
