"""The last flush has all calls that have ended, whatever the flush before it is about."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.limits.accounting import Accounting
from clawdbot_model_gateway.core.limits.metrics import LimitMetrics
from clawdbot_model_gateway.core.limits.usage_ledger import UsageUnavailable
from clawdbot_model_gateway.core.limits.usage_meter import UsageMeter
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.stores.in_memory.limit_store import InMemoryLimitStore
from clawdbot_servicekit.caller import Caller

from tests.support.generate_requests import asks


class Ledger:
    """Its first batch takes until `go_on`, and may fail then."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.batches: dict[str, int] = {}
        """Name → calls."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def forget(self, before: str) -> None: ...

    async def add(self, batch, usage, running=None) -> None:
        is_first = not self.began.is_set()
        self.began.set()
        await self.go_on.wait()
        if is_first and self.error is not None:
            raise self.error
        self.batches[batch] = sum(counts[0] for counts in usage.values())


async def call(meter: UsageMeter) -> None:
    caller = Caller()
    with RequestAttempts(asks(), [Target("a", "m")], lambda ended: meter.end(caller, ended)) as attempts:
        meter.begin(caller, attempts)
        (await anext(attempts)).usage = Usage(input_tokens=1, provenance=USAGE_PROVENANCE_REPORTED)


@pytest.mark.parametrize("error", [None, UsageUnavailable("busy")])
async def test_a_call_that_ends_during_a_flush_is_written_before_the_service_stops(error):
    ledger = Ledger(error)
    meter = UsageMeter(ledger, LimitMetrics())
    accounting = Accounting(ledger, meter, 1e6, InMemoryLimitStore())
    await accounting.start()
    await call(meter)
    await ledger.began.wait()
    await call(meter)
    stopping = asyncio.create_task(accounting.stop())
    await asyncio.sleep(0)
    ledger.go_on.set()
    await stopping
    assert Counter(ledger.batches.values()) == {1: 2}
