"""Limits, prices and the cache's rules change without a restart, and what was counted stays counted."""

from __future__ import annotations

import asyncio
import os
import signal

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy, CacheStatus
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_servicekit.error_table import remote_error
from structlog.testing import capture_logs

from tests.support.conditions import until
from tests.support.generate_requests import asks, text_of
from tests.support.reloads import ConfigFile, loaded, models, refusal, reload, scripted
from tests.support.scripted_provider import hold_replies
from tests.support.two_workers import two_workers

PRICED = {"*": {"input": 1_000_000, "output": 1_000_000}}
"""A dollar per token."""
USE = CachePolicy(mode=CachePolicy.MODE_USE)


@pytest.fixture
def config(tmp_path):
    return ConfigFile(tmp_path / "clawdbot.yaml")


def limited(requests: str = "", *, prices=None, gateway=None, **tenant) -> dict:
    limits = {**tenant, **({"requests": requests} if requests else {})}
    backend = scripted("A", **({"prices": prices} if prices else {}))
    sections = models({"chat": "a/m"}, a=backend)
    return {**sections, **({"limits": {"tenant": limits}} if limits else {}), "gateway": gateway or {}}


async def outcome(client, *, text="x", **fields) -> str:
    try:
        await client.gateway.Generate(asks(text, model="chat", **fields), timeout=20)
    except grpc.aio.AioRpcError as error:
        return remote_error(error).reason
    return "OK"


async def outcomes(client, calls: int, **fields) -> list[str]:
    return [await outcome(client, **fields) for _ in range(calls)]


async def test_a_raised_limit_allows_the_difference_and_a_lowered_one_refuses_at_once(config, tmp_path):
    config.write(limited("2/month"))
    async with loaded(config, tmp_path, gateway=None) as served:
        assert await outcomes(served.client, 3) == ["OK", "OK", "LIMIT_REACHED"]
        config.write(limited("4/month"))
        changes = await reload(served.client)
        assert (changes.changed, changes.kept) == ([], ["a"])
        assert await outcomes(served.client, 3) == ["OK", "OK", "LIMIT_REACHED"]
        config.write(limited("3/month"))
        await reload(served.client)
        assert await outcome(served.client) == "LIMIT_REACHED"
        config.write(limited())
        await reload(served.client)
        assert await outcomes(served.client, 3) == ["OK"] * 3
        config.write(limited("5/month"))
        await reload(served.client)
        # What nobody limited was not counted.
        assert await outcomes(served.client, 2) == ["OK", "LIMIT_REACHED"]


async def test_limits_can_begin_with_a_reload_and_outlive_a_restart(config, tmp_path):
    config.write(limited())
    async with loaded(config, tmp_path, gateway=None) as served:
        assert await outcome(served.client) == "OK"
        config.write(limited("2/month"))
        await reload(served.client)
        assert await outcome(served.client) == "OK"
    async with loaded(config, tmp_path, gateway=None) as served:
        assert await outcomes(served.client, 2) == ["OK", "LIMIT_REACHED"]


async def test_a_running_stream_keeps_its_reservation_and_its_place(config, tmp_path):
    config.write(limited(concurrent=1, requests="3/month"))
    async with loaded(config, tmp_path, gateway=None) as served:
        backend = served.application._components.backends["a"]
        held = hold_replies(backend)
        running = asyncio.create_task(served.client.run(asks("x", model="chat"), "stream"))
        await until(lambda: backend.in_flight)
        config.write(limited(concurrent=2, requests="3/month"))
        await reload(served.client)
        second = asyncio.create_task(served.client.run(asks("x", model="chat"), "stream"))
        await until(lambda: backend.in_flight == 2)
        # Of two places both are taken, one of them by the call that began before the reload.
        assert await outcome(served.client) == "LIMIT_REACHED"
        config.write(limited(concurrent=1, requests="3/month"))
        await reload(served.client)
        held.set()
        for reply in await asyncio.gather(running, second):
            assert text_of(reply) == "yes"
        assert await outcomes(served.client, 2) == ["OK", "LIMIT_REACHED"]


async def test_a_new_price_is_that_of_the_next_request_and_spent_money_stays_spent(config, tmp_path):
    cheap = {"*": {"input": 1, "output": 1}}
    config.write(limited(prices=cheap, cost="10/month"))
    async with loaded(config, tmp_path, gateway=None) as served:
        short = {"sampling": {"max_tokens": 2}}
        assert await outcome(served.client, **short) == "OK"
        config.write(limited(prices=PRICED, cost="100/month"))
        assert (await reload(served.client)).changed == ["a"]
        assert await outcome(served.client, **short) == "OK"
        config.write(limited(prices=cheap, cost="1/month"))
        await reload(served.client)
        assert await outcome(served.client, **short) == "BUDGET_SPENT"


INVALID = {
    "a model": ({"models": {"nowhere": {"requests": "1/day"}}}, "limits.tenant.models.nowhere"),
    "a rate": ({"requests": "many"}, "limits.tenant.requests"),
    "money without prices": ({"cost": "1/day"}, "no backend has prices"),
}


@pytest.mark.parametrize("invalid", INVALID)
async def test_invalid_limits_refuse_the_whole_reload(config, tmp_path, invalid):
    level, place = INVALID[invalid]
    config.write(limited("1/month"))
    async with loaded(config, tmp_path, gateway=None) as served:
        config.write({**models({"chat": "b/m"}, b=scripted("B")), "limits": {"tenant": level}})
        fault = await refusal(served.client)
        assert fault.reason == "CONFIGURATION_INVALID"
        assert place in fault.message
        assert f"{config.path}:" in fault.message
        assert (await reload_kept(served, config)) == ["a"]
        assert await outcomes(served.client, 2) == ["OK", "LIMIT_REACHED"]


async def reload_kept(served, config) -> list[str]:
    config.write(limited("1/month"))
    return [*(await reload(served.client)).kept]


async def test_an_invalid_model_leaves_the_limits_as_they_are(config, tmp_path):
    config.write(limited("1/month"))
    async with loaded(config, tmp_path, gateway=None) as served:
        config.write({**limited("5/month"), **models({"chat": "nowhere/m"}, a=scripted("A"))})
        assert "nowhere" in (await refusal(served.client)).message
        assert await outcomes(served.client, 2) == ["OK", "LIMIT_REACHED"]


async def test_a_limit_of_an_alias_that_is_removed_refuses_the_reload(config, tmp_path):
    limits = {"limits": {"tenant": {"models": {"big": {"requests": "9/day"}}}}}
    config.write({**models({"chat": "a/m", "big": "a/m"}, a=scripted("A")), **limits})
    async with loaded(config, tmp_path) as served:
        config.write({**models({"chat": "a/m"}, a=scripted("A")), **limits})
        assert "limits.tenant.models.big: there is no model big" in (await refusal(served.client)).message


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"limits": {"redis": "redis://localhost:1/0"}}, "limits.redis"),
        ({"gateway": {"cache": {"redis": "redis://localhost:1/0"}}}, "gateway.cache.redis"),
        ({"gateway": {"cache": {"memory": "1MiB"}}}, "gateway.cache.memory"),
        ({"gateway": {"switching": False}}, "gateway.switching"),
    ],
)
async def test_what_only_a_restart_changes_refuses_the_reload_and_says_so(config, tmp_path, section, path):
    config.write(limited("1/month"))
    async with loaded(config, tmp_path, gateway=None) as served:
        config.write({**limited("5/month"), **section})
        fault = await refusal(served.client)
        assert fault.reason == "CONFIGURATION_INVALID"
        assert f"{path}: this cannot change without a restart" in fault.message
        assert await outcomes(served.client, 2) == ["OK", "LIMIT_REACHED"]


async def test_the_cache_follows_its_rules_and_can_be_turned_off_and_on(config, tmp_path):
    async def statuses(*, calls=2, **fields) -> list[str]:
        replies = [
            await served.client.gateway.Generate(asks("q", model="chat", **fields), timeout=20)
            for _ in range(calls)
        ]
        return [CacheStatus.Name(each.cache_status).removeprefix("CACHE_STATUS_") for each in replies]

    config.write(limited(gateway={"cache": {"enabled": False}}))
    async with loaded(config, tmp_path, gateway=None) as served:
        assert await statuses(cache=USE) == ["BYPASS"] * 2
        config.write(limited(gateway={"cache": {"default": "never"}}))
        await reload(served.client)
        assert await statuses(cache=USE) == ["MISS", "HIT"]
        assert await statuses() == ["BYPASS"] * 2
        config.write(limited(gateway={"cache": {"default": "always"}}))
        await reload(served.client)
        assert await statuses() == ["HIT", "HIT"]
        config.write(limited(gateway={"cache": {"default": "always", "ttl": "0.01s"}}))
        await reload(served.client)
        assert await statuses(calls=1, sampling={"temperature": 0.5}) == ["MISS"]
        await asyncio.sleep(0.1)
        assert await statuses(calls=1, sampling={"temperature": 0.5}) == ["MISS"]
        config.write(limited(gateway={"cache": {"enabled": False}}))
        await reload(served.client)
        assert await statuses(cache=USE) == ["BYPASS"] * 2


async def test_the_sizes_of_requests_follow_the_configuration(config, tmp_path):
    config.write(models({"chat": "a/echo"}, a={"provider": "echo"}))
    async with loaded(config, tmp_path, gateway=None) as served:
        gateway = served.client.gateway
        texts = EmbedRequest(texts=["a", "b"], model="a/echo")
        await gateway.Embed(texts)
        section = {"gateway": {"max_texts": 1, "max_request": 1024}}
        config.write({**models({"chat": "a/echo"}, a={"provider": "echo"}), **section})
        await reload(served.client)
        assert await outcome(served.client, text="x" * 2000) == "INVALID_REQUEST"
        with pytest.raises(grpc.aio.AioRpcError, match="at most 1"):
            await gateway.Embed(texts)


async def test_an_alert_comes_again_for_a_new_limit_and_not_for_the_same_one(config, tmp_path):
    config.write(limited("2/month"))
    async with loaded(config, tmp_path, gateway=None) as served:
        with capture_logs() as log:
            await outcomes(served.client, 2)
            await reload(served.client)
            await outcome(served.client)
            config.write(limited("3/month"))
            await reload(served.client)
            await outcome(served.client)
        assert [each["of"] for each in log if each["event"] == "limit_almost_reached"] == [2, 3]


async def test_a_section_that_needs_a_restart_is_told(config, tmp_path):
    config.write({**limited("1/month"), "server": {"grace": "5s"}})
    async with loaded(config, tmp_path, gateway=None) as served:
        config.write({**limited("2/month"), "server": {"grace": "6s"}, "auth": {"service_token": "x" * 30}})
        with capture_logs() as log:
            assert (await reload(served.client)).restart_needed == ["auth", "server"]
            config.write({**limited("3/month"), "server": {"grace": "5s"}})
            assert not (await reload(served.client)).restart_needed
        told = [each["sections"] for each in log if each["event"] == "restart_needed"]
        assert told == [["auth", "server"]]
        assert await outcomes(served.client, 4) == ["OK"] * 3 + ["LIMIT_REACHED"]


@pytest.mark.integration
@pytest.mark.parametrize("how", ["rpc", "sighup"])
async def test_all_workers_have_the_new_limits_and_one_count(config, tmp_path, how):
    config.write(limited("10/month"))
    async with two_workers(tmp_path, config=config.path) as workers:
        one = workers.clients[0]

        async def everywhere() -> list[str]:
            return [await outcome(each) for each in workers.clients]

        assert sorted(await everywhere()) == ["LIMIT_REACHED"] * 14 + ["OK"] * 10
        config.write(limited("15/month"))
        if how == "rpc":
            assert (await reload(one)).pending_workers == 0
        else:
            before = workers.process.log.read_text().count("models_reloaded")
            os.kill(workers.process.pid, signal.SIGHUP)
            await until(lambda: workers.process.log.read_text().count("models_reloaded") == before + 2)
        assert sorted(await everywhere()) == ["LIMIT_REACHED"] * 19 + ["OK"] * 5
        config.write({**limited("99/month"), **models({"chat": "nowhere/m"}, a=scripted("A"))})
        if how == "rpc":
            assert (await refusal(one)).reason == "CONFIGURATION_INVALID"
        else:
            os.kill(workers.process.pid, signal.SIGHUP)
            await until(lambda: workers.process.log.read_text().count("reload_refused") == 2)
        assert set(await everywhere()) == {"LIMIT_REACHED"}
