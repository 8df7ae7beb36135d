"""The ledger of usage in Redis or Valkey, which all replicas share. It is as durable as the server is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson
from typing_extensions import override

from clawdbot_model_gateway.core.limits.usage_ledger import (
    COUNTS,
    Counts,
    UsageKey,
    UsageLedger,
    UsageQuery,
    UsageUnavailable,
)
from clawdbot_model_gateway.stores.redis.connection import FAILURES, connect, failure_text

TIMEOUT: Final = 2.0
"""Seconds of silence during a command; nobody but GetUsage waits for it."""
PREFIX: Final = "{clawdbot:usage:1}:"
"""In braces: all keys are in one slot of a cluster."""
DAYS: Final = f"{PREFIX}days"

ADD: Final = """
if redis.call('SET', KEYS[1], 1, 'NX', 'EX', 86400) then
  for _, each in ipairs(cjson.decode(ARGV[2])) do
    redis.call('SADD', KEYS[2], each[1])
    redis.call('HINCRBY', ARGV[1] .. each[1], each[2], string.format('%.0f', each[3]))
  end
end
"""
"""Adds a batch, once. ARGV: prefix, and what to add: [day, field, number]."""


class RedisUsageLedger(UsageLedger):
    """A hash for each day. A field is tenant, key, model and the place of a count.

    Args:
        url: redis://, rediss:// or unix://.
    """

    def __init__(self, url: str) -> None:
        self._redis = connect(url, TIMEOUT)
        self._add = self._redis.register_script(ADD)

    @override
    async def start(self) -> None:
        """Connects with the first command."""

    @override
    async def stop(self) -> None:
        await self._redis.aclose()

    @override
    async def add(self, batch: str, usage: Mapping[UsageKey, Counts]) -> None:
        fields = [
            [key.day, orjson.dumps([*key[1:], place]).decode(), count]
            for key, counts in usage.items()
            for place, count in enumerate(counts)
            # A key without any call stays visible by its first count.
            if count or not place
        ]
        try:
            await self._add(keys=[f"{PREFIX}batch:{batch}", DAYS], args=[PREFIX, orjson.dumps(fields)])
        except FAILURES as error:
            raise UsageUnavailable(f"{failure_text(error)}.") from error

    @override
    async def totals(self, query: UsageQuery) -> Mapping[UsageKey, Counts]:
        totals: dict[UsageKey, list[int]] = {}
        try:
            for day in await self._days():
                if query.first_day <= day <= query.last_day:
                    fields = await cast("Any", self._redis.hgetall(f"{PREFIX}{day}"))
                    _add_up(totals, query, day, fields)
                    # A day of a large installation takes a while.
                    await asyncio.sleep(0)
        except FAILURES as error:
            raise UsageUnavailable(f"{failure_text(error)}.") from error
        return totals

    @override
    async def forget(self, before: str) -> None:
        try:
            for day in await self._days():
                if day < before:
                    await self._redis.delete(f"{PREFIX}{day}")
                    await cast("Any", self._redis.srem(DAYS, day))
        except FAILURES as error:
            raise UsageUnavailable(f"{failure_text(error)}.") from error

    async def _days(self) -> list[str]:
        return sorted(each.decode() for each in await cast("Any", self._redis.smembers(DAYS)))


def _add_up(
    totals: dict[UsageKey, list[int]], query: UsageQuery, day: str, fields: Mapping[bytes, bytes]
) -> None:
    for field, count in fields.items():
        *names, place = orjson.loads(field)
        key = UsageKey(day, *names)
        if any(
            wanted and wanted != found
            for wanted, found in zip((query.tenant, query.key_id, query.model), key[1:], strict=True)
        ):
            continue
        grouped = UsageKey(
            *(value if name in query.group_by else "" for name, value in key._asdict().items())
        )
        totals.setdefault(grouped, [0] * len(COUNTS))[place] += int(count)
