"""The contract of LimitStore. The test class of each implementation inherits it."""

from __future__ import annotations

import asyncio
import time

from clawdbot_model_gateway.core.limits.limit_store import Charge, Full, Reservation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.properties import examples

ENDS = float(int(time.time()) + 86_400)


def charge(amount=1, *, limit=10, bucket="tokens", least=None, ends=ENDS) -> Charge:
    return Charge(bucket, limit, amount, amount if least is None else least, ends)


def concurrent(limit=1, bucket="concurrent") -> Charge:
    return Charge(bucket, limit, 1, 1)


async def reserve(store, *charges):
    verdict = store.reserve(charges)
    return await verdict if isinstance(verdict, asyncio.Future) else verdict


async def room(store, bucket="tokens", limit=10) -> int:
    """What is left of a limit."""
    probe = await reserve(store, charge(limit, limit=limit, bucket=bucket, least=1))
    if isinstance(probe, Full):
        return limit - probe.total
    store.settle(probe, [0])
    await settled(store)
    return probe.amounts[0]


async def settled(store) -> None:
    """Returns when other processes see what this one has settled."""
    await reserve(store, charge(1, limit=0, bucket="none"))


class LimitStoreContract:
    """The fixture `store` is new and started; `other` is the same as another process sees it, if one can.

    So are the `stores` of the property, which has an event loop of its own.
    """

    async def test_one_that_has_answered_says_so(self, store):
        await reserve(store, charge())
        assert store.answers

    async def test_a_limit_is_reached_and_never_passed(self, store, other):
        for each in (store, other, store):
            assert isinstance(await reserve(each, charge(3)), Reservation)
        full = await reserve(other, charge(3))
        assert isinstance(full, Full)
        assert (full.place, full.total, full.used) == (0, 9, 0)
        assert (await reserve(other, charge(1))).totals == [10]

    async def test_a_hundred_at_once_get_as_many_as_are_allowed(self, store, other):
        for limit in (1, 7):
            wanted = [
                reserve((store, other)[number % 2], charge(limit=limit, bucket=f"{limit}"))
                for number in range(100)
            ]
            verdicts = await asyncio.gather(*wanted)
            assert sum(isinstance(each, Reservation) for each in verdicts) == limit

    async def test_what_was_not_used_is_given_back(self, store, other):
        reservation = await reserve(store, charge(8))
        assert isinstance(await reserve(other, charge(3)), Full)
        store.settle(reservation, [2])
        assert await room(store) == 8
        assert await room(other) == 8

    async def test_what_was_used_beyond_the_reservation_counts(self, store):
        reservation = await reserve(store, charge(1))
        store.settle(reservation, [25])
        await reserve(store, charge(4, limit=30))
        full = await reserve(store, charge(1))
        assert (full.total, full.used) == (29, 25)
        assert isinstance(await reserve(store, charge(1, limit=30)), Reservation)

    async def test_as_much_as_there_is_room_for_is_reserved(self, store):
        assert (await reserve(store, charge(8, least=1))).amounts == [8]
        assert (await reserve(store, charge(8, least=1))).amounts == [2]
        assert isinstance(await reserve(store, charge(8, least=1)), Full)

    async def test_all_charges_are_reserved_or_none(self, store):
        await reserve(store, charge(10, bucket="b"))
        full = await reserve(store, charge(4, bucket="a"), charge(1, bucket="b"), charge(1, bucket="c"))
        assert full.place == 1
        assert await room(store, "a") == await room(store, "c") == 10
        granted = await reserve(store, charge(4, bucket="a"), charge(5, bucket="c"))
        assert (granted.amounts, granted.totals) == ([4, 5], [4, 5])

    async def test_calls_at_the_same_time_are_limited_and_leave_nothing(self, store, other):
        first = await reserve(store, concurrent(2))
        second = await reserve(other, concurrent(2))
        assert isinstance(await reserve(store, concurrent(2)), Full)
        store.settle(first, [0])
        third = await reserve(store, concurrent(2))
        assert isinstance(third, Reservation)
        other.settle(second, [0])
        store.settle(third, [0])
        await settled(other)
        assert await room(store, "concurrent", 2) == 2

    async def test_a_reservation_of_nothing_counts_what_was_used(self, store):
        """As it is made for a call that was let through without the store."""
        store.settle(Reservation([charge(5), concurrent()], [0, 0], [0, 0]), [4, 0])
        assert await room(store) == 6
        assert await room(store, "concurrent", 1) == 1

    async def test_buckets_that_have_ended_are_no_trouble(self, store):
        old = charge(1, bucket="old", ends=time.time() - 10)
        reservation = await reserve(store, old)
        store.settle(reservation, [1])
        await store.maintain()
        await store.maintain()
        assert await room(store) == 10

    async def test_numbers_are_exact_beyond_32_bits(self, store):
        limit = 10**15
        reservation = await reserve(store, charge(limit - 1, limit=limit))
        store.settle(reservation, [limit - 3])
        assert await room(store, limit=limit) == 3

    @settings(
        max_examples=examples(25),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_no_limit_is_passed_and_no_reservation_leaks(self, run, stores, data):
        """Random calls that are admitted, end, or are cancelled, against a model of what is left."""
        limits = data.draw(st.fixed_dictionaries({"a": st.integers(1, 20), "b": st.integers(1, 20)}))
        steps = data.draw(
            st.lists(
                st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 8), st.integers(0, 8)),
                min_size=1,
                max_size=30,
            )
        )
        tag = str(time.monotonic_ns())

        async def play():
            used, held = {"a": 0, "b": 0}, {"a": 0, "b": 0}
            running = []
            for arrives, pick, wanted, spent in steps:
                store = stores[pick % len(stores)]
                if arrives:
                    names = ("a", "b")[: 1 + pick % 2]
                    charges = [
                        Charge(tag + name, limits[name], wanted, min(wanted, 1 + pick % 3), ENDS)
                        for name in names
                    ]
                    verdict = await reserve(store, *charges)
                    fits = all(
                        limits[name] - used[name] - held[name] >= each.least
                        for name, each in zip(names, charges, strict=True)
                    )
                    assert isinstance(verdict, Reservation) == fits
                    if fits:
                        running.append((store, names, verdict))
                        for name, amount in zip(names, verdict.amounts, strict=True):
                            held[name] += amount
                            assert used[name] + held[name] <= limits[name]
                elif running:
                    store, names, verdict = running.pop(pick % len(running))
                    # Nothing, as a cancelled call; at most what was reserved, so that the limit holds.
                    spends = [min(spent, amount) for amount in verdict.amounts]
                    store.settle(verdict, spends)
                    for name, amount, each in zip(names, verdict.amounts, spends, strict=True):
                        held[name] -= amount
                        used[name] += each
                    await settled(store)
            for store, names, verdict in running:
                store.settle(verdict, [0] * len(names))
                await settled(store)
            for name, limit in limits.items():
                assert await room(stores[0], tag + name, limit) == limit - used[name]

        run(play())
