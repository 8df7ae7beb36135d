"""Runs every test of turns on a cluster of engines, once with each store."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.turns import maintenance

from tests.support.engine_cluster import running_cluster

CHAT = """
flow: chat
version: 1
description: Talk
states:
  talk:
    generate:
      instructions: Be brief.
      tools: [clock.now, shop.buy]
interrupts: {allow: [cancel]}
"""

ORDER = """
flow: order
version: 1
description: Order something
slots:
  count: {type: integer, min: 1, max: 9, ask: How many?}
states:
  ask:
    collect: [count]
    timeout: {after: 10m, to: late}
    next:
      - {to: buy}
  buy:
    call: {tool: shop.buy, args: {count: "${slots.count}"}, effect: once}
    next:
      - {if: result.ok, to: thanks}
      - {on_error: unknown, say: I do not know whether that was bought., to: ask, clear: [count]}
      - {on_error: any, say: That was not bought., to: ask, clear: [count]}
      - {say: Sold out., to: ask, clear: [count]}
  thanks: {say: Thank you., end: true}
  late: {say: Come back any time., end: true}
"""


@pytest.fixture(params=["memory", "sqlite"])
async def cluster(request, tmp_path, monkeypatch):
    """A cluster of one engine, with the flows chat and order, whose maintenance loop runs often."""
    for name in ("STOP_REQUEST_INTERVAL", "RECOVERY_INTERVAL", "TIMER_INTERVAL"):
        monkeypatch.setattr(maintenance, name, 0.02)
    async with running_cluster(request.param, tmp_path) as cluster:
        cluster.flow(CHAT)
        cluster.flow(ORDER)
        cluster.tools.add("clock.now", {"time": "12:00"}, "none")
        cluster.tools.add("shop.buy", {"ok": True}, "once")
        yield cluster
