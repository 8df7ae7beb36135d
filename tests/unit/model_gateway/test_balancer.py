"""How requests are divided between the targets of an alias: by weight, by latency, by prefix."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter
from types import SimpleNamespace

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_SYSTEM
from clawdbot_model_gateway.core.errors import BackendDraining, BackendFailed, BackendUnreachable, RateLimited
from clawdbot_model_gateway.core.failures.circuit_breaker import BreakerLimits, CircuitBreaker
from clawdbot_model_gateway.core.routing.balancer import Balancer
from clawdbot_model_gateway.core.routing.peak_ewma import PeakEwma
from clawdbot_model_gateway.core.routing.routing_table import Balance, RoutingPolicy, RoutingTable, Target
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.generate_requests import asks, says
from tests.support.properties import examples
from tests.support.scripted_provider import Bench, FakeProvider

LATENCY = Balance("least_latency")
PREFIX = Balance("prefix")


class Simulation:
    """The real balancer over real backends, whose answers take as long as the test says."""

    def __init__(self, balance, weights=None, **seconds) -> None:
        self.now = 0.0
        self.random = random.Random(7)
        self.balance = balance
        self.seconds = seconds
        self.backends = Bench(**{name: FakeProvider() for name in seconds}).backends
        self.balancer = Balancer(self.backends, lambda: self.now)
        self.targets = [Target(name, "m", (weights or {}).get(name, 1)) for name in seconds]
        self.most = Counter()
        """Backend → the most requests that it had at a time."""
        self.busiest = 0
        """The most requests that all had together."""

    def run(self, requests, rate, prefixes=1, fails=()):
        """How many requests each backend got."""
        got, ends, arrival = Counter(), [], 0.0
        for _ in range(requests):
            arrival += self.random.expovariate(rate)
            while ends and ends[0][0] <= arrival:
                self._end(*heapq.heappop(ends), fails)
            self.now = arrival
            request = asks(f"conversation {self.random.randrange(prefixes)}")
            name = self.balancer.order(self.targets, self.balance, request, self.random.random)[0].backend
            got[name] += 1
            assert self.backends[name].scheduler.enter()
            self.most[name] = max(self.most[name], self.backends[name].in_flight)
            self.busiest = max(self.busiest, sum(each.in_flight for each in self.backends.values()))
            seconds = 0.001 if name in fails else self.random.expovariate(1 / self.seconds[name])
            heapq.heappush(ends, (arrival + seconds, name, arrival))
        return got

    def _end(self, ended, name, began, fails):
        backend = self.backends[name]
        backend.scheduler.leave(began, None, None)
        if name in fails:
            backend.latency.failed(BackendFailed("x"), ended - began, ended)
        else:
            backend.latency.answered(ended - began, ended)


@pytest.mark.parametrize("rate", [2, 50])
def test_a_slow_backend_gets_a_small_share_of_the_requests(rate):
    got = Simulation(LATENCY, a=0.1, b=0.1, slow=2.0).run(5000, rate)
    assert got["slow"] < 0.1 * 5000
    assert min(got["a"], got["b"]) > 0.35 * 5000


@pytest.mark.parametrize("rate", [2, 50])
def test_equal_backends_get_equal_shares(rate):
    got = Simulation(LATENCY, a=0.1, b=0.1, c=0.1).run(6000, rate)
    assert all(0.28 * 6000 < got[each] < 0.39 * 6000 for each in "abc")


def test_under_load_a_backend_of_more_weight_gets_more_requests():
    got = Simulation(LATENCY, {"big": 3}, big=0.1, small=0.1).run(6000, rate=400)
    assert 0.68 * 6000 < got["big"] < 0.85 * 6000


def test_a_backend_that_fails_at_once_does_not_attract_requests():
    got = Simulation(LATENCY, a=0.1, b=0.1, broken=0.1).run(3000, rate=20, fails=["broken"])
    assert got["broken"] < 0.05 * 3000


def test_a_backend_of_which_nothing_is_known_gets_one_request_at_a_time():
    simulation = Simulation(LATENCY, a=0.1, b=0.1, new=1000.0)
    got = simulation.run(1000, rate=100)
    assert got["new"] == simulation.most["new"] == 1


def test_a_backend_that_has_become_fast_gets_its_share_again():
    simulation = Simulation(LATENCY, a=0.1, b=0.1, c=3.0)
    assert simulation.run(1000, rate=20)["c"] < 100
    simulation = Simulation(LATENCY, a=0.1, b=0.1, c=0.1)
    for backend, seconds in zip(simulation.backends.values(), (0.1, 0.1, 3.0), strict=True):
        backend.latency.answered(seconds, 0.0)
    assert simulation.run(4000, rate=20)["c"] > 0.2 * 4000


def test_weights_hold_where_requests_are_weighted():
    got = Simulation(Balance(), {"a": 6, "b": 3}, a=0.1, b=5.0, c=0.1).run(6000, rate=20)
    assert [round(got[each] / 600) for each in "abc"] == [6, 3, 1]


def test_the_estimate_jumps_to_a_longer_time_and_falls_with_time():
    estimate = PeakEwma()
    estimate.answered(0.1, 0.0)
    estimate.answered(5.0, 1.0)
    assert estimate.at(1.0) == 5.0
    assert estimate.at(11.0) == pytest.approx(5 / 2.718, rel=0.01)
    for second in range(12, 60):
        estimate.answered(0.1, float(second))
    assert estimate.at(59.0) < 0.2


@pytest.mark.parametrize("error", [RateLimited("x"), BackendUnreachable("x")])
def test_an_error_makes_the_estimate_longer_and_a_caller_that_left_only_by_its_wait(error):
    failed, left = PeakEwma(), PeakEwma()
    for each in (failed, left):
        each.answered(0.5, 0.0)
    failed.failed(error, 0.001, 0.0)
    assert failed.at(0.0) == 5.0
    left.failed(asyncio.CancelledError(), 0.1, 0.0)
    assert left.at(0.0) == 0.5
    left.failed(asyncio.CancelledError(), 9.0, 0.0)
    assert left.at(0.0) == 9.0


async def test_the_time_of_a_request_is_known_to_the_balancer():
    bench = Bench({"default": (Target("a", "m"),)}, a=FakeProvider())
    await bench.generation.generate(asks())
    streamed = bench.backends["a"].latency
    assert 0 < streamed.at(0.0) < 5


# Availability


def drain(backend):
    backend.drains = SimpleNamespace(names={backend.name})


def broken(seconds):
    breaker = CircuitBreaker("x", BreakerLimits(failures=1, cooldown=seconds), lambda: 0.0, lambda: 0.0)
    breaker.leave(breaker.enter(None), BackendFailed("x"))
    return breaker


@pytest.mark.parametrize("by", ["weighted", "least_latency", "prefix"])
def test_backends_that_are_not_available_come_last_the_next_to_return_first(by):
    bench = Bench(**{name: FakeProvider() for name in "abcde"})
    drain(bench.backends["a"])
    bench.backends["b"].breaker = broken(9)
    bench.backends["c"].breaker = broken(3)
    targets = [Target("e", "m", fallback=True), *(Target(name, "m") for name in "abcd")]
    balancer = Balancer(bench.backends, lambda: 0.0)
    order = balancer.order(targets, Balance(by), asks(), random.Random(1).random)
    assert [each.backend for each in order] == ["d", "e", "c", "b", "a"]


@pytest.mark.parametrize("cooldown", range(1, 12))
def test_no_target_is_lost_that_becomes_available_while_they_are_ordered(cooldown):
    bench = Bench(a=FakeProvider(), b=FakeProvider())
    clock = itertools.count().__next__
    breaker = CircuitBreaker("x", BreakerLimits(failures=1, cooldown=cooldown), clock, lambda: 0.0)
    breaker.leave(breaker.enter(None), BackendFailed("x"))
    bench.backends["b"].breaker = breaker
    targets = [Target("a", "m", 1), Target("b", "m", 1)]
    ordered = Balancer(bench.backends, clock).order(targets, LATENCY, asks(), lambda: 0.5)
    assert sorted(each.backend for each in ordered) == ["a", "b"]


async def test_a_draining_backend_is_not_asked():
    bench = Bench({"default": (Target("a", "m"), Target("b", "m"))}, a=FakeProvider(), b=FakeProvider())
    drain(bench.backends["a"])
    for _ in range(8):
        assert (await bench.generation.generate(asks())).backend == "b"
    with pytest.raises(BackendDraining):
        await bench.generation.generate(asks(model="a/m"))
    assert bench.providers["a"].asked == []


# Prefixes


def chooses(balance=PREFIX, names="abcd", weights=None, **in_flight):
    """A function that gives the first backend for a conversation."""
    bench = Bench(**{name: FakeProvider() for name in names})
    for name, count in in_flight.items():
        bench.backends[name].scheduler.in_flight = count
    balancer = Balancer(bench.backends, lambda: 0.0)
    targets = [Target(name, "m", (weights or {}).get(name, 1)) for name in names]
    return lambda *messages: balancer.order(targets, balance, asks(*messages), random.random)[0].backend


def test_a_conversation_stays_at_its_backend_as_it_grows():
    choose = chooses()
    for number in range(50):
        first = [says("Be brief.", ROLE_SYSTEM), f"question {number}"]
        later = [*first, says("an answer", ROLE_ASSISTANT), "and then?"]
        assert choose(*first) == choose(*later)


def test_conversations_are_spread_over_all_backends_by_weight():
    got = Counter(map(chooses(weights={"a": 2}), (f"question {number}" for number in range(5000))))
    assert 0.37 < got["a"] / 5000 < 0.43
    assert all(0.17 < got[each] / 5000 < 0.23 for each in "bcd")


def test_only_so_many_characters_of_the_beginning_count():
    choose = chooses(Balance("prefix", prefix_length=100))
    shared = [says("x" * 99, ROLE_SYSTEM)]
    assert len({choose(*shared, f"y{number}") for number in range(50)}) == 1
    assert len({choose(*shared, f"{number}y") for number in range(50)}) > 1


@settings(max_examples=examples(100))
@given(removed=st.sampled_from("abcd"), texts=st.lists(st.text(max_size=20), max_size=50))
def test_a_backend_that_is_removed_moves_only_its_own_conversations(removed, texts):
    before, after = chooses(), chooses(names="abcd".replace(removed, ""))
    for text in texts:
        chosen = before(text)
        assert after(text) == chosen or chosen == removed


def test_all_processes_choose_alike():
    assert [chooses()(f"question {number}") for number in range(8)] == [*"bbaddbda"]


def test_a_backend_with_too_many_requests_gives_way_to_the_next_choice():
    text = next(text for text in map(str, range(99)) if chooses()(text) == "a")
    assert chooses(a=5, b=5, c=5, d=5)(text) == "a"
    busy = chooses(a=8, b=5, c=5, d=5)(text)
    assert busy == chooses(names="bcd")(text)
    assert chooses(a=3)(text) == "a"


def test_one_prefix_for_all_does_not_overload_its_backend():
    simulation = Simulation(PREFIX, a=1.0, b=1.0, c=1.0, d=1.0)
    simulation.run(5000, rate=100)
    assert max(simulation.most.values()) <= 1.25 * simulation.busiest / 4 + 1


def test_where_there_is_room_a_prefix_stays_at_one_backend():
    simulation = Simulation(PREFIX, a=0.1, b=0.1, c=0.1, d=0.1)
    assert max(simulation.run(1000, rate=10).values()) > 950


# Configuration


def test_an_alias_has_its_own_balance_or_that_of_all():
    policy = RoutingPolicy(LATENCY, {"chat": PREFIX})
    assert (policy.balance_of("chat"), policy.balance_of("other")) == (PREFIX, LATENCY)


async def test_a_switch_to_other_targets_keeps_the_balance_of_the_alias():
    bench = Bench({"chat": (Target("a", "m"),)}, **{name: FakeProvider() for name in "abc"})
    table = bench.router.configured
    policy = RoutingPolicy(balances={"chat": PREFIX})
    bench.router.configure(RoutingTable(table.backends, table.aliases, policy))
    bench.router.override_alias("chat", [Target("b", "m"), Target("c", "m")])
    asked = {(await bench.generation.generate(asks(model="chat"))).backend for _ in range(20)}
    assert len(asked) == 1
    assert asked < {"b", "c"}
