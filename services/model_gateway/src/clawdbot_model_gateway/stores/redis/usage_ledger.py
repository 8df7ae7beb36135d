"""The ledger of usage in Redis or Valkey, which all replicas share. It is as durable as the server is.

What the running calls of a process have used is kept by process, with a lease. When it renews that no more,
it counts as killed; one that could not reach the server for so long, and comes back, has it taken back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson
from redis.exceptions import InvalidResponse
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

OWNERS: Final = f"{PREFIX}owners"
"""The processes with running calls."""
LEASE: Final = 15
"""Seconds after which a process counts as killed. Its lease is renewed each second while calls run."""
RETURN_TIME: Final = 86_400
"""Seconds for which it is known what was counted of a process that seemed to be killed."""

ADD_FIELDS: Final = """
local function add(fields, sign)
  for at = 1, #fields, 2 do
    local day, field = unpack(cjson.decode(fields[at]))
    redis.call('SADD', ARGV[1] .. 'days', day)
    redis.call('HINCRBY', ARGV[1] .. day, field, string.format('%.0f', sign * fields[at + 1]))
  end
end
"""
ADD: Final = f"""{ADD_FIELDS}
if redis.call('SET', KEYS[1], 1, 'NX', 'EX', 86400) then
  add(cjson.decode(ARGV[2]), 1)
end
if ARGV[4] ~= '' then
  local running, killed = ARGV[1] .. 'running:' .. ARGV[3], ARGV[1] .. 'killed:' .. ARGV[3]
  add(redis.call('HGETALL', killed), -1)
  redis.call('DEL', running, killed)
  local fields = cjson.decode(ARGV[4])
  for at = 1, #fields, 2 do
    redis.call('HSET', running, fields[at], string.format('%.0f', fields[at + 1]))
  end
  if #fields > 0 then
    redis.call('SADD', ARGV[1] .. 'owners', ARGV[3])
    redis.call('SET', ARGV[1] .. 'owner:' .. ARGV[3], 1, 'EX', ARGV[5])
  else
    redis.call('SREM', ARGV[1] .. 'owners', ARGV[3])
    redis.call('DEL', ARGV[1] .. 'owner:' .. ARGV[3])
  end
end
return 'added'
"""
"""Adds a batch, once, and replaces what the running calls of a process have used.

ARGV: prefix; what to add, as a list of fields and counts; the process; what its calls have used, as the
same, or nothing where that is as it was; seconds of its lease. A field is [day, field of the day].
"""
COUNT_KILLED: Final = f"""{ADD_FIELDS}
for _, owner in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', ARGV[1] .. 'owner:' .. owner) == 0 then
    local running, killed = ARGV[1] .. 'running:' .. owner, ARGV[1] .. 'killed:' .. owner
    add(redis.call('HGETALL', running), 1)
    if redis.call('EXISTS', running) == 1 then
      redis.call('RENAME', running, killed)
      redis.call('EXPIRE', killed, ARGV[2])
    end
    redis.call('SREM', KEYS[1], owner)
  end
end
"""
"""Counts what the calls had used that ran in processes when these were killed. ARGV: prefix, RETURN_TIME."""


class RedisUsageLedger(UsageLedger):
    """A hash for each day. A field is tenant, key, model and the place of a count.

    Args:
        url: redis://, rediss:// or unix://.
    """

    def __init__(self, url: str) -> None:
        self._redis = connect(url, TIMEOUT)
        self._add = self._redis.register_script(ADD)
        self._count_killed = self._redis.register_script(COUNT_KILLED)
        self._me = secrets.token_hex(8)

    @override
    async def start(self) -> None:
        """Connects with the first command."""

    @override
    async def stop(self) -> None:
        await self._redis.aclose()

    @override
    async def add(
        self,
        batch: str,
        usage: Mapping[UsageKey, Counts],
        running: Mapping[UsageKey, Counts] | None = None,
    ) -> None:
        runs = b"" if running is None else orjson.dumps(_fields(running))
        added = orjson.dumps(_fields(usage))
        try:
            answer = await self._add(
                keys=[f"{PREFIX}batch:{batch}"], args=[PREFIX, added, self._me, runs, LEASE]
            )
            if answer != b"added":
                raise InvalidResponse("not that it was added")
        except FAILURES as error:
            raise UsageUnavailable(f"{failure_text(error)}.") from error

    @override
    async def totals(self, query: UsageQuery) -> Mapping[UsageKey, Counts]:
        totals: dict[UsageKey, list[int]] = {}
        try:
            await self._count_killed(keys=[OWNERS], args=[PREFIX, RETURN_TIME])
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
            await self._count_killed(keys=[OWNERS], args=[PREFIX, RETURN_TIME])
            for day in await self._days():
                if day < before:
                    await self._redis.delete(f"{PREFIX}{day}")
                    await cast("Any", self._redis.srem(DAYS, day))
        except FAILURES as error:
            raise UsageUnavailable(f"{failure_text(error)}.") from error

    async def _days(self) -> list[str]:
        return sorted(each.decode() for each in await cast("Any", self._redis.smembers(DAYS)))


def _fields(usage: Mapping[UsageKey, Counts]) -> list[str | int]:
    """Fields and counts, one after the other, as Redis lists them."""
    fields: list[str | int] = []
    for key, counts in usage.items():
        for place, count in enumerate(counts):
            # A key without any call stays visible by its first count.
            if count or not place:
                name = orjson.dumps([*key[1:], place]).decode()
                fields += orjson.dumps([key.day, name]).decode(), count
    return fields


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
