"""Limits in Redis or Valkey: exact across the replicas of several machines.

All that waits is sent in one script, one after the other, so that what a process has settled is known before
it reserves again. Settlements are numbered, and count once also where an answer was lost.

What running calls have reserved is a field of its process in each bucket. When the process renews its lease
no more, it counts as used, or is free where a bucket has no end. After an answer was lost, nobody knows
what it has reserved: the process goes on under another name, and ends the lease of the old one with the
last call that it knows of.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import orjson
from redis.exceptions import InvalidResponse
from typing_extensions import override

from clawdbot_model_gateway.core.limits.limit_store import (
    Charge,
    Full,
    LimitStore,
    LimitStoreUnavailable,
    Reservation,
    Verdict,
)
from clawdbot_model_gateway.stores.redis.connection import FAILURES, connect, failure_text

SOCKET_TIMEOUT: Final = 1.0
"""Seconds after which a connection that does not answer is given up. Callers wait for less."""
LEASE: Final = 15.0
"""Seconds after which a process counts as killed. Its lease is renewed each second."""
ENDED: Final = 32 * 86_400
"""Seconds for which it is known that an owner has ended, and was not killed: as long as a window lasts."""
MAX_BATCH: Final = 256
"""Calls in one script, which keeps the server from others."""
PREFIX: Final = "{clawdbot:limits:1}:"
"""In braces: all keys are in one slot of a cluster."""

SCRIPT: Final = """
local prefix, number, lease, me = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local alive = {}
for _, owner in ipairs(cjson.decode(ARGV[5])) do
  redis.call('SET', prefix .. 'owner:' .. owner, 1, 'PX', lease)
  alive[owner] = true
end
for _, owner in ipairs(cjson.decode(ARGV[8])) do
  redis.call('SET', prefix .. 'owner:' .. owner, 0, 'EX', ARGV[9])
  alive[owner] = false
end
local function text(value) return string.format('%.0f', value) end
local function is_alive(owner)
  if alive[owner] == nil then
    local lease = redis.call('GET', prefix .. 'owner:' .. owner)
    if lease then alive[owner] = lease == '1' else alive[owner] = 'killed' end
  end
  return alive[owner]
end
local function keep(key, ends)
  if ends > 0 then redis.call('EXPIREAT', key, text(ends)) else redis.call('EXPIRE', key, 172800) end
end
if tonumber(redis.call('GET', KEYS[1]) or '-1') < number then
  for _, each in ipairs(cjson.decode(ARGV[6])) do
    local key, owner, amount, used, ends = prefix .. each[1], each[2], each[3], each[4], each[5]
    if amount > 0 and redis.call('HINCRBY', key, owner, text(-amount)) <= 0 then
      redis.call('HDEL', key, owner)
    end
    if used > 0 then redis.call('HINCRBY', key, 'used', text(used)) end
    keep(key, ends)
  end
  redis.call('SET', KEYS[1], text(number), 'EX', 86400)
end
local answers = {}
for place, charges in ipairs(cjson.decode(ARGV[7])) do
  local answer, amounts = {1}, {}
  for number, each in ipairs(charges) do
    local key, total, used = prefix .. each[1], 0, 0
    local fields = redis.call('HGETALL', key)
    for at = 1, #fields, 2 do
      local owner, amount = fields[at], tonumber(fields[at + 1])
      local state = owner == 'used' or is_alive(owner)
      if state == true then
        total = total + amount
      else
        redis.call('HDEL', key, owner)
        if state == 'killed' and each[5] > 0 then
          redis.call('HINCRBY', key, 'used', text(amount))
          total = total + amount
        end
      end
      if owner == 'used' or (state == 'killed' and each[5] > 0) then used = used + amount end
    end
    local room = each[2] - total
    if room < each[4] then
      answer = {0, number - 1, total, used}
      break
    end
    amounts[number] = math.min(each[3], room)
    table.insert(answer, amounts[number])
    table.insert(answer, total + amounts[number])
  end
  if answer[1] == 1 then
    for number, each in ipairs(charges) do
      redis.call('HINCRBY', prefix .. each[1], me, text(amounts[number]))
      keep(prefix .. each[1], each[5])
    end
  end
  answers[place] = answer
end
return answers
"""
"""Renews leases, settles what was not settled yet, and reserves, call by call.

ARGV: prefix, number of the settlements, milliseconds of a lease, who reserves, owners to renew, settlements
[bucket, owner, amount, used, ends], charges [bucket, limit, amount, least, ends] by call, owners whose lease
ends, and seconds for which that is known. A call gets
[1, amount, total, …] or, where there is no room, [0, place, total, used].
"""

_Settlements = dict[tuple[str, str], list[int]]
"""Bucket and owner → what was reserved, what was used, and when the bucket ends."""
_Batch = list[tuple[Sequence[Charge], asyncio.Future[Verdict]]]
"""What calls want to reserve."""


class RedisLimitStore(LimitStore):
    """One for each process, all in one Redis.

    Args:
        url: redis://, rediss:// or unix://.
    """

    def __init__(self, url: str) -> None:
        self._redis = connect(url, SOCKET_TIMEOUT)
        self._script = self._redis.register_script(SCRIPT)
        self._number_key = f"{PREFIX}number:{secrets.token_hex(8)}"
        self._number = 0
        self._settled: _Settlements = {}
        self._sending: _Settlements | None = None
        """Settlements whose script was not answered; sent again under the same number."""
        self._waiting: _Batch = []
        self._owner = secrets.token_hex(8)
        self._outstanding: Counter[str] = Counter()
        """Owner → how many of its reservations are not settled."""
        self._former: dict[str, float] = {}
        """Owner that was given up → until when it is told to the server (time.monotonic): a script that was
        delayed renews the lease of those who were owners then."""
        self._failure = ""
        """Why the last script failed; empty if it did not."""
        self._answers = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    @override
    def answers(self) -> bool:
        return self._answers

    @override
    async def start(self) -> None:
        """The first connection takes a while, so it is made now."""
        self._news.set()
        self._task = asyncio.create_task(self._run())

    @override
    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            owners = {*self._owners(), *self._ended()}
            with suppress(*FAILURES):
                async with asyncio.timeout(SOCKET_TIMEOUT):
                    await self._send()
                    if self._settled and not self._failure:
                        # What was sent before had no answer, and was sent again.
                        await self._send()
                    for each in owners:
                        await self._redis.set(f"{PREFIX}owner:{each}", 0, ex=ENDED)
        await self._redis.aclose()

    @override
    async def maintain(self) -> None:
        """Renews the leases, and finds out whether a server that failed is back."""
        self._news.set()
        if self._failure:
            raise LimitStoreUnavailable(self._failure)

    @override
    def reserve(self, charges: Sequence[Charge]) -> asyncio.Future[Verdict]:
        if self._failure:
            raise LimitStoreUnavailable(self._failure)
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((charges, future))
        self._news.set()
        return future

    @override
    def settle(self, reservation: Reservation, used: Sequence[int]) -> None:
        owner = reservation.owner
        for charge, amount, spent in zip(reservation.charges, reservation.amounts, used, strict=True):
            settled = self._settled.setdefault((charge.bucket, owner), [0, 0, _expiry(charge)])
            settled[0] += amount
            settled[1] += spent
        if owner:
            self._outstanding[owner] -= 1
        if not self._failure:
            self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._send()
            if not self._failure and (self._waiting or self._settled):
                self._news.set()

    async def _send(self) -> None:
        """Sends what waits."""
        if self._sending is None:
            self._number += 1
            self._sending, self._settled = self._settled, {}
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        try:
            arguments = self._arguments(self._sending, batch)
            answers = _checked(await self._script(keys=[self._number_key], args=arguments), batch)
        except FAILURES as error:
            self._fail(error, batch)
        except asyncio.CancelledError:
            self._fail(TimeoutError(), batch)
            raise
        else:
            self._sending = None
            self._failure = ""
            self._answers = True
            self._forget_former()
            for (charges, future), answer in zip(batch, answers, strict=True):
                self._answer(charges, future, answer)

    def _arguments(self, settlements: _Settlements, batch: _Batch) -> list[str | bytes | int]:
        wanted = [
            [[each.bucket, each.limit, each.amount, each.least, _expiry(each)] for each in charges]
            for charges, _ in batch
        ]
        return [
            PREFIX,
            self._number,
            round(LEASE * 1000),
            self._owner,
            orjson.dumps(self._owners()),
            orjson.dumps([[*key, *values] for key, values in settlements.items()]),
            orjson.dumps(wanted),
            orjson.dumps(self._ended()),
            ENDED,
        ]

    def _answer(self, charges: Sequence[Charge], future: asyncio.Future[Verdict], answer: list[int]) -> None:
        granted, *numbers = answer
        if not granted:
            place, total, used = numbers
            verdict: Verdict = Full(place, total, used)
        else:
            verdict = Reservation(charges, numbers[::2], numbers[1::2], self._owner)
            self._outstanding[self._owner] += 1
        if not future.done():
            future.set_result(verdict)
        elif isinstance(verdict, Reservation):
            self.settle(verdict, [0] * len(charges))

    def _fail(self, error: BaseException, batch: _Batch) -> None:
        self._failure = failure_text(error)
        self._answers = False
        for _, future in (*batch, *self._waiting):
            if not future.done():
                future.set_exception(LimitStoreUnavailable(self._failure))
        if batch:
            self._former[self._owner] = math.inf
            self._owner = secrets.token_hex(8)
        self._waiting = []

    def _owners(self) -> list[str]:
        """The names under which this process has reservations, or may soon have some."""
        self._outstanding = +self._outstanding
        return list({self._owner, *self._outstanding})

    def _ended(self) -> list[str]:
        """The former owners that have no reservations that this process knows of."""
        return [each for each in self._former if not self._outstanding[each]]

    def _forget_former(self) -> None:
        now = time.monotonic()
        for owner in self._ended():
            if self._former[owner] == math.inf:
                self._former[owner] = now + LEASE
            elif self._former[owner] <= now:
                del self._former[owner]


def _checked(answers: object, batch: _Batch) -> list[list[int]]:
    """The answers to a batch, if they are such.

    Raises:
        InvalidResponse: something else has answered.
    """
    if not isinstance(answers, list) or len(answers) != len(batch):
        raise InvalidResponse("not one answer per call")
    for (charges, _), answer in zip(batch, answers, strict=True):
        if not isinstance(answer, list) or not all(isinstance(each, int) for each in answer):
            raise InvalidResponse("not numbers")
        granted = answer[:1] == [1] and len(answer) == 1 + 2 * len(charges)
        refused = answer[:1] == [0] and len(answer) == 4 and 0 <= answer[1] < len(charges)
        if not (granted or refused):
            raise InvalidResponse("neither a reservation nor its refusal")
    return answers


def _expiry(charge: Charge) -> int:
    """When the bucket may go, in seconds since 1970; clocks differ by less than the minute that is added."""
    return round(charge.ends) + 60 if charge.ends else 0
