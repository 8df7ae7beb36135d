"""Resolving names, listing models and backends, and switching aliases."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as pb
from clawdbot_model_gateway.core.errors import BackendUnreachable, UnknownModel
from clawdbot_model_gateway.core.machine_load import MachineLoad
from clawdbot_model_gateway.core.model_admin import ModelAdmin, Reload
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.routing.balancer import Balancer
from clawdbot_model_gateway.core.routing.routing_table import Balance, RoutingTable, Target
from clawdbot_model_gateway.settings.cache import CacheSettings
from clawdbot_model_gateway.stores.file.drains import FileDrainStore
from clawdbot_model_gateway.wiring.cache import cached_replies
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.pagination import MAX_PAGE_SIZE

from tests.support.generate_requests import asks
from tests.support.scripted_provider import Bench, FakeProvider

ALIASES = {"chat": (Target("a", "m"),), "default": (Target("a", "m"),)}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bench(clock):
    return Bench(ALIASES, clock=clock, a=FakeProvider(models=["m", "n"]), b=FakeProvider(models=["vendor/x"]))


async def ask_all(bench) -> dict[str, str]:
    """Puts the models that the backends list in the table; why those did not that did not."""
    reasons = {}
    for name, backend in bench.backends.items():
        models, reason = await bench.router.ask(backend, bench.router.configured.aliases)
        if reason:
            reasons[name] = reason
        else:
            table = bench.router.configured
            bench.router.configure(replace(table, backends={**table.backends, name: models}))
    return reasons


@pytest.fixture
async def admin(bench, tmp_path):
    await ask_all(bench)
    return make_admin(bench, tmp_path)


async def nothing_to_reload():
    return Reload([], [], [], [], []), 0


def make_admin(bench, folder):
    drains = FileDrainStore(folder)
    load = MachineLoad(bench.backends, drains, None)
    replies = cached_replies(CacheSettings(), folder, CacheMetrics())
    return ModelAdmin(bench.router, bench.backends, drains, load, nothing_to_reload, replies=replies)


def switch(alias, *targets, **more):
    made = [each if isinstance(each, pb.Target) else pb.Target(target=each) for each in targets]
    return pb.SwitchModelRequest(alias=alias, targets=made, **more)


def names(targets):
    return [each.target for each in targets]


# Names


def test_the_closest_name_is_suggested():
    routes = RoutingTable({"vllm": frozenset({"qwen3"})}, {"chat": (Target("vllm", "qwen3"),)})
    for wrong, right in {"vllm/qwen": "vllm/qwen3", "chatt": "chat", "qwen3": "vllm/qwen3"}.items():
        with pytest.raises(UnknownModel) as unknown:
            routes.targets(wrong)
        assert unknown.value.suggestion == f" Did you mean {right}?"


@pytest.mark.parametrize("name", ["vllm", "vllm/", "/qwen3", "/", "nobody/qwen3", "x" * 1_000_000])
def test_an_invalid_name_is_unknown(name):
    with pytest.raises(UnknownModel):
        RoutingTable({"vllm": frozenset({"qwen3"})}).targets(name)


def test_any_model_may_be_requested_from_a_backend_that_lists_none():
    assert RoutingTable({"a": frozenset()}).targets("a/b/c") == (Target("a", "b/c"),)


def test_an_empty_name_is_the_alias_default():
    assert RoutingTable({}, ALIASES).targets("") == ALIASES["default"]


def test_targets_get_their_share_and_fallbacks_come_last():
    bench = Bench(a=FakeProvider(), b=FakeProvider(), c=FakeProvider())
    targets = [Target("a", "m", weight=9), Target("b", "m"), Target("c", "m", fallback=True)]
    draw, balancer = random.Random(1).random, Balancer(bench.backends, lambda: 0.0)
    orders = [
        tuple(each.backend for each in balancer.order(targets, Balance(), asks(), draw)) for _ in range(5000)
    ]
    assert {each[-1] for each in orders} == {"c"}
    assert 0.88 < Counter(each[0] for each in orders)["a"] / 5000 < 0.92


# Listing


async def test_aliases_and_targets_are_listed_by_name(admin):
    listed = admin.list_models(pb.ListModelsRequest()).models
    assert [each.name for each in listed] == ["a/m", "a/n", "b/vendor/x", "chat", "default"]
    assert names(listed[3].targets) == ["a/m"]
    assert (listed[2].backend, listed[2].provider, listed[2].vendor_model) == ("b", "fake", "vendor/x")


async def test_lists_come_in_pages(admin):
    seen, token = [], ""
    while True:
        page = admin.list_models(pb.ListModelsRequest(page_size=2, page_token=token))
        assert len(page.models) <= 2
        seen += [each.name for each in page.models]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["a/m", "a/n", "b/vendor/x", "chat", "default"]
    assert len(admin.list_models(pb.ListModelsRequest(page_size=MAX_PAGE_SIZE * 9)).models) == 5


@pytest.mark.parametrize(
    "wrong", [{"page_size": -1}, {"page_token": "?"}, {"page_token": "ü"}, {"page_token": "gICA"}]
)
async def test_an_invalid_page_is_refused(admin, wrong):
    with pytest.raises(InvalidRequest):
        admin.list_models(pb.ListModelsRequest(**wrong))


async def test_one_model_is_shown_or_unknown(admin):
    assert admin.get_model(pb.GetModelRequest(name="a/n")).model.vendor_model == "n"
    for unknown in ("", "a/q", "nobody"):
        with pytest.raises(UnknownModel):
            admin.get_model(pb.GetModelRequest(name=unknown))


async def test_backends_show_their_load(admin, bench):
    async with bench.backends["a"].slot(asks()):
        shown = admin.list_backends(pb.ListBackendsRequest()).backends
    assert [(each.name, each.requests_in_flight) for each in shown] == [("a", 1), ("b", 0)]
    assert list(shown[0].models) == ["m", "n"]
    assert shown[0].endpoint == "http://fake"


async def test_any_model_is_shown_by_its_actual_name(tmp_path):
    bench = Bench({"chat": (Target("a", "*"),)}, a=FakeProvider(models=["real"]))
    admin = make_admin(bench, tmp_path)
    assert admin.describe_alias("chat") == "a/*"
    await ask_all(bench)
    assert admin.describe_alias("chat") == "a/real"


# Refreshing


async def test_a_new_model_is_found_by_a_refresh(admin, bench, clock):
    bench.providers["a"].models = ["m", "n", "new"]
    with pytest.raises(UnknownModel):
        await bench.router.targets("a/new")
    clock.now += 10
    assert await bench.router.targets("a/new") == (Target("a", "new"),)


async def test_unknown_names_do_not_cause_a_storm_of_refreshes(admin, bench, clock):
    clock.now += 10
    for number in range(50):
        with pytest.raises(UnknownModel):
            await bench.generation.generate(asks(model=f"a/no-{number}"))
    assert bench.providers["a"].listed == 2


async def test_a_backend_that_does_not_answer_keeps_its_models(admin, bench, clock):
    bench.providers["a"].models = BackendUnreachable("away")
    clock.now += 10
    with pytest.raises(UnknownModel):
        await bench.router.targets("a/new")
    assert await bench.router.targets("a/n") == (Target("a", "n"),)


async def test_it_is_known_why_a_backend_did_not_answer():
    bench = Bench(a=FakeProvider(models=BackendUnreachable("away")), b=FakeProvider())
    assert await ask_all(bench) == {"a": "away"}


# Switching


async def test_a_switch_takes_effect_for_the_next_request(admin, bench):
    reply = await admin.switch_model(switch("chat", "b/vendor/x"))
    assert names(reply.previous_targets) == ["a/m"]
    assert reply.elapsed.ToNanoseconds() > 0
    assert (await bench.generation.generate(asks(model="chat"))).backend == "b"
    assert (await bench.generation.generate(asks())).backend == "a"


async def test_a_stream_in_flight_stays_on_its_backend(admin, bench):
    stream = bench.stream(asks(model="chat"))
    first = await anext(stream)
    await admin.switch_model(switch("chat", "b/vendor/x"))
    rest = [event async for event in stream]
    assert first.started.backend == "a"
    assert rest[-1].WhichOneof("event") == "finished"
    assert bench.providers["b"].asked == []


async def test_a_new_alias_is_created(admin):
    assert not (await admin.switch_model(switch("fast", "a/n"))).previous_targets
    assert names(admin.get_model(pb.GetModelRequest(name="fast")).model.targets) == ["a/n"]


async def test_weights_and_fallbacks_are_stored(admin):
    targets = [pb.Target(target="a/m", weight=9), pb.Target(target="b/vendor/x", fallback=True)]
    await admin.switch_model(switch("chat", *targets))
    shown = admin.get_model(pb.GetModelRequest(name="chat")).model.targets
    assert [(each.weight, each.fallback) for each in shown] == [(9, False), (1, True)]
    assert admin.describe_alias("chat") == "a/m, else b/vendor/x"


async def test_a_target_that_is_an_alias_is_refused_with_an_example(admin):
    for alias in ("chat", "fast"):
        with pytest.raises(InvalidRequest, match=r"targets\[1\]\.target: chat is an alias") as refused:
            await admin.switch_model(switch(alias, "a/n", "chat"))
        assert 'must be "backend/model", such as a/m.' in str(refused.value)


async def test_an_unknown_target_changes_nothing(admin):
    with pytest.raises(UnknownModel) as unknown:
        await admin.switch_model(switch("chat", "b/vendor/x", "a/mm"))
    assert unknown.value.suggestion == " Did you mean a/m?"
    assert admin.describe_alias("chat") == "a/m"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (switch("", "a/m"), "alias"),
        (switch("a/b", "a/m"), "alias"),
        (switch("x" * 129, "a/m"), "alias"),
        (switch("chat"), "targets"),
        (switch("chat", pb.Target(target="a/m", weight=-1)), "targets[0].weight"),
        (switch("chat", "a/m", "a/m"), "targets[1].target"),
    ],
)
async def test_an_invalid_switch_is_refused_with_the_field(admin, wrong, field):
    with pytest.raises(InvalidRequest) as refused:
        await admin.switch_model(wrong)
    assert [each.field for each in refused.value.violations] == [field]


async def test_a_repeated_switch_takes_effect_once(admin):
    first = await admin.switch_model(switch("chat", "a/n", request_id="r-1"))
    await admin.switch_model(switch("chat", "b/vendor/x", request_id="r-2"))
    again = await admin.switch_model(switch("chat", "a/n", request_id="r-1"))
    assert names(again.previous_targets) == names(first.previous_targets) == ["a/m"]
    assert admin.describe_alias("chat") == "b/vendor/x"


async def test_a_newer_configuration_replaces_an_older_switch(admin, bench):
    await admin.switch_model(switch("chat", "a/n"))
    bench.router.configure(
        RoutingTable(bench.router.configured.backends, {"chat": (Target("b", "vendor/x"),)})
    )
    assert admin.describe_alias("chat") == "b/vendor/x"


async def test_a_switch_to_a_removed_backend_is_ignored(admin, bench):
    await admin.switch_model(switch("chat", "b/vendor/x"))
    bench.router.configure(RoutingTable({"a": frozenset()}, bench.router.configured.aliases))
    assert bench.router.table.targets("chat") == (Target("a", "m"),)
