"""The contract of ReplyCache. The test class of each implementation inherits it."""

from __future__ import annotations

import asyncio

from clawdbot_model_gateway.core.reply_cache.port import CacheKey, Entry

from tests.support.conditions import until
from tests.support.deadlines import expired

KEY = CacheKey("ann", "a/m", b"1" * 32)


def key(tenant="ann", target="a/m", digest=b"1") -> CacheKey:
    return CacheKey(tenant, target, digest * 32)


async def stored(cache, where: CacheKey = KEY, reply: bytes = b"reply", ttl: float = 60.0) -> None:
    """Stores a reply, and returns when it is found."""
    cache.put(where, reply, ttl=ttl, stamp=(await cache.get(where)).stamp)

    async def found():
        return (await cache.get(where)).reply == reply

    await until(found)


class ReplyCacheContract:
    """The fixture `cache` is new and started; `other` is the same cache as another worker sees it."""

    async def test_a_new_cache_has_nothing_and_takes_replies(self, cache):
        found = await cache.get(KEY)
        assert found.reply is None
        assert found.stamp is not None

    async def test_a_reply_is_found_as_it_was_stored(self, cache):
        for reply in (b"", b"\0\xff", b"x" * 100_000):
            await stored(cache, reply=reply)

    async def test_another_key_finds_nothing(self, cache):
        await stored(cache)
        assert (await cache.get(key(digest=b"2"))).reply is None

    async def test_several_replies_are_stored_and_found_at_once(self, cache):
        keys = [key(digest=bytes([each])) for each in range(100)]
        stamps = [each.stamp for each in await cache.get_all(keys)]
        entries = [Entry(keys[each], b"%d" % each, stamps[each]) for each in range(0, 100, 2)]
        cache.put_all([*entries, Entry(keys[1], b"no stamp", None)], ttl=60.0)

        async def found():
            return [each.reply for each in await cache.get_all(keys)] == [
                None if each % 2 else b"%d" % each for each in range(100)
            ]

        await until(found)
        assert (await cache.get(keys[4])).reply == b"4"

    async def test_of_a_long_list_the_first_are_found(self, cache):
        await stored(cache)
        found = await cache.get_all([KEY, *(key(digest=b"%d" % each) for each in range(5000))])
        assert (len(found), found[0].reply, found[-1].reply) == (5001, b"reply", None)

    async def test_a_reply_is_not_served_after_its_time(self, cache):
        served = []

        async def after(seconds):
            cache.put(KEY, b"reply", ttl=seconds, stamp=(await cache.get(KEY)).stamp)
            ends_at = asyncio.get_running_loop().time() + seconds
            while not served and asyncio.get_running_loop().time() < ends_at:
                served.extend([found] if (found := (await cache.get(KEY)).reply) else [])
                await asyncio.sleep(0.01)
            await asyncio.sleep(seconds)
            return (await cache.get(KEY)).reply

        assert await expired(after, lambda: served) is None

    async def test_the_later_of_two_replies_is_served(self, cache):
        await stored(cache, reply=b"one")
        await stored(cache, reply=b"two")

    async def test_a_reply_without_a_stamp_is_not_stored(self, cache):
        cache.put(KEY, b"reply", ttl=60.0, stamp=None)
        await asyncio.sleep(0.05)
        assert (await cache.get(KEY)).reply is None

    async def test_a_flush_removes_what_it_names_and_nothing_else(self, cache):
        keys = {
            "mine": key("ann", "a/m", b"1"),
            "of another tenant": key("bob", "a/m", b"2"),
            "of another model": key("ann", "b/m", b"3"),
            "of neither": key("bob", "b/m", b"4"),
        }
        for tenant, target, left in (
            ("ann", "a/m", {"of another tenant", "of another model", "of neither"}),
            ("ann", "", {"of another tenant", "of neither"}),
            ("", "a/m", {"of another model", "of neither"}),
            ("", "", set()),
        ):
            for each in keys.values():
                await stored(cache, each)
            await cache.flush(tenant, target)
            found = {name for name, each in keys.items() if (await cache.get(each)).reply is not None}
            assert found == left, (tenant, target)

    async def test_a_flush_holds_for_all_workers_at_once(self, cache, other):
        await stored(cache)
        await stored(other)
        await other.flush("", "")
        assert (await cache.get(KEY)).reply is None
        assert (await other.get(KEY)).reply is None

    async def test_a_reply_that_began_before_a_flush_is_not_served_after_it(self, cache, other):
        stamp = (await cache.get(KEY)).stamp
        await other.flush("ann", "")
        cache.put(KEY, b"old", ttl=60.0, stamp=stamp)
        await asyncio.sleep(0.05)
        assert (await cache.get(KEY)).reply is None

    async def test_it_takes_replies_again_after_a_flush(self, cache):
        await cache.flush("", "")
        await stored(cache)

    async def test_stopping_is_safe_at_any_time(self, cache):
        await cache.stop()
        await cache.stop()
