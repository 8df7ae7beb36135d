"""Several keys of one backend: which one a request uses, and when one is left alone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import aclosing

import pytest
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.core.provider import Embedder, LimitedFormats, TextCounter, TokenCounter
from clawdbot_model_gateway.core.provider_keys import Key, keyed_provider
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.providers.echo import EchoProvider
from clawdbot_model_gateway.settings import BackendSettings
from structlog.testing import capture_logs

from tests.support.generate_requests import asks, check_grammar, collect, text_of
from tests.support.scripted_provider import WAIT, Bench, FakeProvider, says

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])


class Trial:
    """A backend with keys, and a clock."""

    def __init__(self, *providers, concurrency=None) -> None:
        self.now = 100.0
        self.providers = providers
        self.keys = [Key(number, each, concurrency) for number, each in enumerate(providers, 1)]
        self.provider = keyed_provider("a", self.keys, lambda: self.now)

    async def ask(self, rpc="generate"):
        """The text of a reply."""
        if rpc == "stream":
            return text_of(await collect(self.provider.stream(asks(), "m")))
        return text_of(await self.provider.generate(asks(), "m"))

    @property
    def asked(self):
        return [len(each.asked) for each in self.providers]

    @property
    def idle(self):
        return not any(each.in_flight for each in self.keys)


def refuses(error, *then):
    return FakeProvider([events.started("m"), error], *(then or (says("later"),)))


@RPCS
@pytest.mark.parametrize("error", [RateLimited("x"), QuotaExhausted("x"), BackendAuth("x")])
async def test_a_request_goes_to_another_key_at_once_and_the_refused_one_is_left_alone(rpc, error):
    trial = Trial(refuses(error), FakeProvider(says("yes")))
    assert [await trial.ask(rpc) for _ in range(5)] == ["yes"] * 5
    assert trial.asked == [1, 5]
    assert trial.idle


@RPCS
@pytest.mark.parametrize("error", [BackendFailed("x"), RequestRefused("x")])
async def test_what_does_not_concern_the_key_is_not_tried_with_another_one(rpc, error):
    trial = Trial(refuses(error), FakeProvider(says("yes")))
    with pytest.raises(type(error)):
        await trial.ask(rpc)
    assert trial.asked == [1, 0]
    assert trial.idle


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimited("x"), 5),
        (RateLimited("x", retry_after=33), 33),
        (QuotaExhausted("x"), 300),
        (BackendAuth("x"), 600),
    ],
)
async def test_a_key_is_used_again_after_its_cool_down(error, seconds):
    trial = Trial(refuses(error), FakeProvider(says("yes")))
    await trial.ask()
    trial.now += seconds - 0.1
    assert {await trial.ask() for _ in range(4)} == {"yes"}
    trial.now += 0.1
    assert {await trial.ask() for _ in range(4)} == {"yes", "later"}


async def test_of_two_cool_downs_the_longer_one_holds():
    release = asyncio.Event()
    late = [release, events.started("m"), RateLimited("x", retry_after=1)]
    provider = FakeProvider(late, [events.started("m"), RateLimited("x", retry_after=60)], says("later"))
    trial = Trial(provider)
    first = asyncio.create_task(trial.ask())
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await trial.ask()
    release.set()
    with pytest.raises(RateLimited):
        await first
    trial.now += 59
    with pytest.raises(RateLimited) as refused:
        await trial.ask()
    assert refused.value.retry_after == 1
    trial.now += 1
    assert await trial.ask() == "later"


@RPCS
async def test_without_a_usable_key_the_caller_learns_which_one_comes_back_first(rpc):
    trial = Trial(refuses(BackendAuth("x")), refuses(RateLimited("slow down", retry_after=20)))
    for left in (20, 15):
        with pytest.raises(RateLimited) as refused:
            await trial.ask(rpc)
        assert refused.value.retry_after == left
        assert "none of the 2 keys can be used at present: the first one can again in " in str(refused.value)
        assert f"in {left}s, and a changed one after a reload" in str(refused.value)
        assert "the last error: slow down" in str(refused.value)
        trial.now += 5
    assert trial.asked == [1, 1]


@pytest.mark.parametrize(("error", "wait"), [(QuotaExhausted("empty"), "5m"), (BackendAuth("no"), "10m")])
async def test_errors_that_last_for_one_key_have_a_time_when_all_keys_wait(error, wait):
    trial = Trial(refuses(error), refuses(type(error)("x", retry_after=900)))
    with pytest.raises(type(error)) as refused:
        await trial.ask()
    assert refused.value.retry_after == {"5m": 300, "10m": 600}[wait]
    assert f"can again in {wait}, " in str(refused.value)


async def test_each_key_is_asked_once_at_most_for_a_request():
    """Also where the vendor says that there is no need to wait."""
    trial = Trial(*(FakeProvider([RateLimited("x", retry_after=0)]) for _ in range(3)))
    with pytest.raises(RateLimited):
        await trial.ask()
    assert trial.asked == [1, 1, 1]


async def test_keys_are_used_in_turns():
    trial = Trial(*(FakeProvider(says("yes")) for _ in range(3)))
    for _ in range(12):
        await trial.ask()
    assert trial.asked == [4, 4, 4]


async def test_a_key_has_no_more_requests_than_it_may():
    trial = Trial(*(FakeProvider([events.started("m"), WAIT]) for _ in range(2)), concurrency=2)
    assert trial.provider.max_concurrency == 4
    running = [asyncio.create_task(trial.ask()) for _ in range(4)]
    await asyncio.sleep(0)
    assert [each.in_flight for each in trial.keys] == [2, 2]
    waiting = [asyncio.create_task(trial.ask()) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert sum(trial.asked) == 4
    for each in (waiting[0], running[0]):
        each.cancel()
    await asyncio.sleep(0.01)
    assert sum(trial.asked) == 5, "the one that still waits has the place"
    for each in (*running, *waiting):
        each.cancel()
    await asyncio.gather(*running, *waiting, return_exceptions=True)
    assert trial.idle


@RPCS
async def test_while_others_cool_down_requests_wait_for_the_key_that_is_left(rpc):
    gate = asyncio.Event()
    trial = Trial(
        FakeProvider([events.started("m"), gate, *says("yes")[1:]]), refuses(BackendAuth("no")), concurrency=1
    )
    calls = [asyncio.create_task(trial.ask(rpc)) for _ in range(8)]
    await asyncio.sleep(0.01)
    assert trial.asked == [1, 1]
    gate.set()
    assert await asyncio.gather(*calls) == ["yes"] * 8
    assert trial.asked == [8, 1]
    assert trial.idle


async def test_a_request_that_waits_for_a_key_gets_one_that_has_cooled_down():
    silent = FakeProvider([events.started("m"), WAIT])
    trial = Trial(silent, refuses(RateLimited("x", retry_after=0.05)), concurrency=1)
    running, refused = [asyncio.create_task(trial.ask()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(trial.ask())
    await asyncio.sleep(0)
    trial.now += 1
    assert await asyncio.wait_for(waiting, 20) == "later"
    for each in (running, refused):
        each.cancel()
    await asyncio.wait([running, refused])
    assert trial.idle


async def test_a_stream_that_has_content_stays_at_its_key():
    trial = Trial(
        FakeProvider([events.started("m"), events.text_delta("well"), RateLimited("x")]),
        FakeProvider(says("yes")),
    )
    with pytest.raises(RateLimited):
        await trial.ask("stream")
    assert trial.asked == [1, 0]


async def test_a_stream_that_has_moved_to_another_key_is_one_stream():
    trial = Trial(refuses(RateLimited("x")), FakeProvider(says("yes", " sir")))
    seen = await collect(trial.provider.stream(asks(), "m"))
    check_grammar(seen)
    assert text_of(seen) == "yes sir"


async def test_streams_that_are_left_at_any_moment_free_their_keys():
    draw = random.Random(3)
    for _ in range(64):
        trial = Trial(
            refuses(RateLimited("x")), FakeProvider([events.started("m"), events.text_delta("a"), WAIT])
        )

        async def read(trial=trial):
            async with aclosing(trial.provider.stream(asks(), "m")) as stream:
                async for _ in stream:
                    pass

        task = asyncio.create_task(read())
        for _ in range(draw.randrange(5)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert trial.idle
        assert not any(each.open for each in trial.providers)


async def test_a_key_that_cools_down_is_named_by_its_number():
    trial = Trial(FakeProvider(says("yes")), refuses(QuotaExhausted("x")))
    with capture_logs() as logs:
        for _ in range(2):
            await trial.ask()
    assert [(each["event"], each["backend"], each["key"], each["seconds"]) for each in logs] == [
        ("key_cools_down", "a", 2, 300.0)
    ]


def test_the_provider_can_do_what_those_of_its_keys_can():
    echo = EchoProvider(BackendSettings(provider="echo"), EchoProvider.options())
    keyed = keyed_provider("a", [Key(1, echo), Key(2, echo)], lambda: 0.0)
    plain = keyed_provider("a", [Key(1, FakeProvider())], lambda: 0.0)
    for ability in (Embedder, TokenCounter, TextCounter, LimitedFormats):
        assert isinstance(keyed, ability) == isinstance(echo, ability)
        assert not isinstance(plain, ability)


async def test_a_backend_whose_keys_are_all_refused_gives_way_to_the_next_target():
    targets = (Target("a", "m"), Target("b", "m", fallback=True))
    bench = Bench({"default": targets}, a=FakeProvider(), b=FakeProvider())
    trial = Trial(refuses(RateLimited("x")), refuses(RateLimited("x")))
    bench.backends["a"].provider = trial.provider
    replies = Counter([(await bench.generation.generate(asks())).backend for _ in range(4)])
    assert replies == {"b": 4}
    assert trial.asked == [1, 1]
