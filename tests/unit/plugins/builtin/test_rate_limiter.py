"""The rate limiter counts exactly, between workers too, and says when to come again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from clawdbot_plugin_sdk import Context, Launch, Subject
from clawdbot_plugins.builtin.rate_limiter import plugin
from clawdbot_plugins.builtin.rate_limiter.settings import RateLimiterSettings
from clawdbot_plugins.builtin.rate_limiter.windows import Window, Windows
from hypothesis import given
from hypothesis import strategies as st

from tests.support.plugin_core import Clock
from tests.support.plugin_service import serving

GATES = {hook.point: hook.function for hook in plugin.hooks}


class Limited:
    """Somebody who is limited."""

    def __init__(self, state):
        self._state = state

    async def ask(self, point="before_turn", tenant="default", key_id="", session_id=""):
        context = Context(state=self._state, tenant=tenant, key_id=key_id, session_id=session_id)
        return await GATES[point](Subject(point, session_id=session_id), context)

    async def granted(self, times, **whose):
        return [await self.ask(**whose) for _ in range(times)].count(None)


@pytest.fixture
def clock():
    return Clock()


@asynccontextmanager
async def limiting(folder, clock, **settings):
    nothing = {"turns": None, "session_turns": None, "generations": None, "tools": None}
    launch = Launch(settings=RateLimiterSettings(**{**nothing, **settings}), folder=folder, clock=clock)
    async with plugin.open(launch) as state:
        yield Limited(state)


async def test_so_many_are_granted_and_the_next_is_told_when_to_come(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="3/minute") as limited:
        for _ in range(3):
            assert await limited.ask() is None
            clock.now += 10
        refused = await limited.ask()
    assert refused.reason == "RATE_LIMITED"
    assert refused.retry_after == 30
    assert refused.message == "Only 3 turns per minute are allowed. Try again in 30 s."


async def test_who_comes_when_told_finds_room_and_not_before(tmp_path, clock):
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
    """A fixed window would grant twice as many around its edge."""
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
async def test_others_have_their_own_allowance(tmp_path, clock, per, others):
    async with limiting(tmp_path, clock, turns="2/minute", per=per) as limited:
        assert await limited.granted(5, key_id="a") == 2
        assert await limited.granted(5, **others) == 2


async def test_the_keys_of_a_tenant_can_share_one_allowance(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="3/minute", per="tenant") as limited:
        assert await limited.granted(2, key_id="a") == 2
        assert await limited.granted(5, key_id="b") == 1


async def test_names_with_slashes_are_not_mixed_up(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="1/minute") as limited:
        assert await limited.granted(1, tenant="a/b", key_id="c") == 1
        assert await limited.granted(1, tenant="a", key_id="b/c") == 1


async def test_turns_generations_and_tool_calls_are_counted_apart(tmp_path, clock):
    async with limiting(
        tmp_path, clock, turns="1/minute", generations="2/minute", tools="3/minute"
    ) as limited:
        granted = [
            await limited.granted(5, point=point)
            for point in ("before_turn", "before_generate", "before_tool")
        ]
    assert granted == [1, 2, 3]


async def test_one_session_cannot_take_everybodys_turns(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="10/minute", session_turns="2/minute") as limited:
        assert await limited.granted(20, session_id="s-1") == 2
        assert await limited.granted(2, session_id="s-2") == 2
        refused = await limited.ask(session_id="s-1")
    assert refused.message == "Only 2 turns of one session per minute are allowed. Try again in 60 s."


async def test_of_several_limits_all_hold_and_a_refused_turn_takes_from_none(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="2/second; 3/hour") as limited:
        assert await limited.granted(5) == 2
        clock.now += 1
        assert await limited.granted(5) == 1
        refused = await limited.ask()
        assert refused.message.startswith("Only 3 turns per hour are allowed.")
        assert refused.retry_after == 3599


async def test_what_has_no_limit_asks_nobody(tmp_path, clock):
    async with limiting(tmp_path, clock) as limited:
        assert await limited.granted(100) == 100


async def test_two_workers_grant_together_what_is_allowed(tmp_path, clock):
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


async def test_a_limit_that_is_changed_holds_at_once(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="10/minute") as limited:
        await limited.granted(5)
    async with limiting(tmp_path, clock, turns="3/minute") as limited:
        assert await limited.granted(1) == 0
    async with limiting(tmp_path, clock, turns="6/minute") as limited:
        assert await limited.granted(5) >= 1


async def test_a_clock_that_is_put_back_keeps_nobody_out(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="2/minute") as limited:
        await limited.granted(2)
        clock.now -= 3600
        assert await limited.granted(5) == 2


async def test_what_has_left_its_window_is_forgotten(tmp_path, clock):
    async with limiting(tmp_path, clock, turns="1/minute") as limited:
        for number in range(600):
            await limited.ask(key_id=str(number))
            clock.now += 1
        windows = limited._state._windows
        (rows,) = await windows._database.run(
            lambda each: each.execute("SELECT count(*) FROM grants").fetchone()
        )
    assert rows < 60 + 256 + 1


@given(
    amount=st.integers(1, 5),
    seconds=st.integers(1, 20),
    steps=st.lists(st.floats(0, 10, allow_nan=False), max_size=40),
)
def test_it_grants_exactly_when_fewer_than_allowed_lie_in_the_window(
    tmp_path_factory, amount, seconds, steps
):
    """Against the definition: a list of all grants, searched anew each time."""

    async def compare():
        clock = Clock(1000.0)
        windows = await Windows.open(tmp_path_factory.mktemp("windows"), clock)
        window = Window("bucket", amount, seconds, "")
        grants = []
        for step in steps:
            clock.now += step
            inside = [each for each in grants if each + seconds > clock.now]
            full = await windows.take([window])
            assert (full is None) == (len(inside) < amount)
            if full is None:
                grants.append(clock.now)
            else:
                assert full.retry_after == pytest.approx(inside[-amount] + seconds - clock.now)
        await windows.close()

    asyncio.run(compare())


async def test_over_the_wire_a_limit_is_an_answer_with_a_time(tmp_path, clock):
    limits = {"rate_limiter": {"turns": "1/minute", "tools": "1/minute"}}
    async with serving(tmp_path, limits, clock=clock) as served:
        assert (await served.client.gate("before_turn")).allowed
        refused = await served.client.gate("before_turn")
        assert (refused.allowed, refused.plugin, refused.reason) == (False, "rate_limiter", "RATE_LIMITED")
        assert refused.retry_after.seconds == 60
        await served.client.result("clock.now")
        fault = await served.client.fault("clock.now")
        assert (fault.code, fault.reason, fault.retry_after) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", 60)
