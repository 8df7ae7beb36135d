"""The rate limiter counts exactly, across workers too, and says when to retry."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from clawdbot_plugin_sdk import Context, LifespanContext, Subject
from clawdbot_plugins.builtin.rate_limiter import plugin
from clawdbot_plugins.builtin.rate_limiter.settings import RateLimiterSettings
from clawdbot_plugins.builtin.rate_limiter.windows import Window, WindowStore
from hypothesis import given
from hypothesis import strategies as st

from tests.support.plugin_core import Clock
from tests.support.plugin_service import serving

GATES = {hook.point: hook.function for hook in plugin.hooks}


class Caller:
    """A caller whose requests are limited."""

    def __init__(self, state):
        self._state = state

    async def ask(self, point="before_turn", tenant="default", key_id="", session_id=""):
        context = Context(state=self._state, tenant=tenant, key_id=key_id, session_id=session_id)
        return await GATES[point](Subject(point, session_id=session_id), context)

    async def granted(self, times, **owner):
        return [await self.ask(**owner) for _ in range(times)].count(None)


@pytest.fixture
def clock():
    return Clock()


@asynccontextmanager
async def limiting(folder, clock, **settings):
    unlimited = {"turns": None, "session_turns": None, "generations": None, "tools": None}
    context = LifespanContext(
        settings=RateLimiterSettings(**{**unlimited, **settings}), folder=folder, clock=clock
    )
    async with plugin.open(context) as state:
        yield Caller(state)


async def test_the_limit_is_granted_and_the_next_one_is_told_when_to_retry(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="3/minute") as limited:
        for _ in range(3):
            assert await limited.ask() is None
            clock.now += 10
        refused = await limited.ask()
    assert refused.reason == "RATE_LIMITED"
    assert refused.retry_after == 30
    assert refused.message == "The rate limit of 3 turns per minute is reached. Try again in 30 s."


async def test_a_retry_succeeds_at_that_time_and_not_earlier(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="2/minute") as limited:
        await limited.granted(1)
        clock.now += 7.3
        await limited.granted(1)
        wait = (await limited.ask()).retry_after
        clock.now += wait - 0.01
        assert await limited.ask() is not None
        clock.now += 0.01
        assert await limited.ask() is None


async def test_a_refusal_costs_nothing(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="1/minute") as limited:
        assert await limited.granted(50) == 1
        clock.now += 60
        assert await limited.ask() is None


async def test_no_minute_sees_more_than_the_limit(tmp_path, clock):
    """A fixed window would grant twice as many around its boundary."""
    async with limiting(tmp_path, clock, turns="5/minute") as limited:
        clock.now += 59
        assert await limited.granted(10) == 5
        clock.now += 2
        assert await limited.granted(10) == 0


@pytest.mark.parametrize(
    ("per", "others"),
    [
        ("key", {"tenant": "default", "key_id": "b"}),
        ("key", {"tenant": "acme", "key_id": "a"}),
        ("tenant", {"tenant": "acme"}),
    ],
)
async def test_other_owners_have_their_own_limit(tmp_path, clock, per, others):
    async with limiting(tmp_path, clock, turns="2/minute", per=per) as limited:
        assert await limited.granted(5, key_id="a") == 2
        assert await limited.granted(5, **others) == 2


async def test_the_keys_of_a_tenant_can_share_one_limit(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="3/minute", per="tenant") as limited:
        assert await limited.granted(2, key_id="a") == 2
        assert await limited.granted(5, key_id="b") == 1


async def test_names_with_slashes_are_not_mixed_up(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="1/minute") as limited:
        assert await limited.granted(1, tenant="a/b", key_id="c") == 1
        assert await limited.granted(1, tenant="a", key_id="b/c") == 1


async def test_turns_generations_and_tool_calls_are_counted_separately(tmp_path, clock):
    async with limiting(
        tmp_path, clock, turns="1/minute", generations="2/minute", tools="3/minute"
    ) as limited:
        granted = [
            await limited.granted(5, point=point)
            for point in ("before_turn", "before_generate", "before_tool")
        ]
    assert granted == [1, 2, 3]


async def test_one_session_cannot_use_up_the_turns_of_its_key(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="10/minute", session_turns="2/minute") as limited:
        assert await limited.granted(20, session_id="s-1") == 2
        assert await limited.granted(2, session_id="s-2") == 2
        refused = await limited.ask(session_id="s-1")
    assert (
        refused.message
        == "The rate limit of 2 turns of one session per minute is reached. Try again in 60 s."
    )


async def test_several_limits_all_apply_and_a_refused_turn_counts_for_none(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="2/second; 3/hour") as limited:
        assert await limited.granted(5) == 2
        clock.now += 1
        assert await limited.granted(5) == 1
        refused = await limited.ask()
        assert refused.message.startswith("The rate limit of 3 turns per hour is reached.")
        assert refused.retry_after == 3599


async def test_without_a_limit_everything_is_granted(tmp_path, clock):
    async with limiting(tmp_path, clock) as limited:
        assert await limited.granted(100) == 100


async def test_two_workers_share_one_limit(tmp_path, clock):
    async with (
        limiting(tmp_path, clock, turns="25/minute") as one,
        limiting(tmp_path, clock, turns="25/minute") as two,
    ):
        asked = await asyncio.gather(*(each.ask() for _ in range(40) for each in (one, two)))
    assert asked.count(None) == 25


async def test_the_count_outlives_the_process(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="3/day") as limited:
        assert await limited.granted(2) == 2
    async with limiting(tmp_path, clock, turns="3/day") as limited:
        assert await limited.granted(5) == 1


async def test_a_changed_limit_applies_immediately(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="10/minute") as limited:
        await limited.granted(5)
    async with limiting(tmp_path, clock, turns="3/minute") as limited:
        assert await limited.granted(1) == 0
    async with limiting(tmp_path, clock, turns="6/minute") as limited:
        assert await limited.granted(5) >= 1


async def test_after_a_clock_is_set_back_nobody_is_locked_out(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="2/minute") as limited:
        await limited.granted(2)
        clock.now -= 3600
        assert await limited.granted(5) == 2


async def test_expired_grants_are_deleted(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="1/minute") as limited:
        for number in range(600):
            await limited.ask(key_id=str(number))
            clock.now += 1
        windows = limited._state._windows
        (rows,) = await windows._executor.run(
            lambda each: each.execute("SELECT count(*) FROM grants").fetchone()
        )
    assert rows < 60 + 256 + 1


@given(
    amount=st.integers(1, 5),
    seconds=st.integers(1, 20),
    steps=st.lists(st.floats(0, 10, allow_nan=False), max_size=40),
)
def test_it_grants_exactly_while_fewer_than_the_limit_are_in_the_window(
    tmp_path_factory, amount, seconds, steps
):
    """Compared with the definition: a list of all grants, searched each time."""

    async def compare():
        clock = Clock(1000.0)
        windows = await WindowStore.open(tmp_path_factory.mktemp("windows"), clock)
        window = Window("bucket", amount, seconds, "")
        grants = []
        for step in steps:
            clock.now += step
            inside = [each for each in grants if each + seconds > clock.now]
            full = await windows.acquire([window])
            assert (full is None) == (len(inside) < amount)
            if full is None:
                grants.append(clock.now)
            else:
                assert full.retry_after == pytest.approx(inside[-amount] + seconds - clock.now)
        await windows.close()

    asyncio.run(compare())


async def test_over_the_wire_a_refusal_has_a_retry_time(tmp_path, clock):
    limits = {"rate_limiter": {"turns": "1/minute", "tools": "1/minute"}}
    async with serving(tmp_path, limits, clock=clock) as served:
        assert (await served.client.gate("before_turn")).allowed
        refused = await served.client.gate("before_turn")
        assert (refused.allowed, refused.plugin, refused.reason) == (False, "rate_limiter", "RATE_LIMITED")
        assert refused.retry_after.seconds == 60
        await served.client.result("clock.now")
        error = await served.client.error("clock.now")
        assert (error.code, error.reason, error.retry_after) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", 60)
