"""A worker that replaces another one runs on the configuration that its siblings run on."""

from __future__ import annotations

import asyncio
import os
import signal

import grpc.aio
import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot_servicekit.error_table import remote_error

from tests.support.conditions import until
from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible
from tests.support.generate_requests import asks
from tests.support.reloads import ConfigFile, answer, listed, models, refusal, reload, scripted
from tests.support.two_workers import two_workers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def config(tmp_path):
    return ConfigFile(tmp_path / "clawdbot.yaml")


async def test_it_has_the_last_configuration_that_was_accepted(config, tmp_path):
    config.write(models({"chat": "a/m"}, a=scripted("A"), b=scripted("B")))
    async with two_workers(tmp_path, config=config.path) as workers:
        clients = workers.clients
        # Before any reload it is that of the start.
        config.path.write_text("")
        assert (await refusal(clients[0])).reason == "CONFIGURATION_INVALID"
        await workers.replace_all()
        assert {await answer(each) for each in clients} == {"A"}
        once = {"tenant": {"models": {"a/m": {"requests": "1/month"}}}}
        config.write({**models({"chat": "b/m"}, a=scripted("A"), b=scripted("B2")), "limits": once})
        assert (await reload(clients[0])).pending_workers == 0
        config.path.unlink()
        assert (await refusal(clients[0])).reason == "CONFIGURATION_INVALID"
        await workers.replace_one()
        assert {await answer(each) for each in clients} == {"B2"}
        assert sorted([await _outcome(each, "a/m") for each in clients[:20]])[-2:] == ["LIMIT_REACHED", "OK"]
        # What is valid, and was not reloaded, is not in use either.
        config.write(models({"chat": "c/m"}, c=scripted("C")))
        await workers.replace_one()
        assert {await answer(each) for each in clients} == {"B2"}
        assert {frozenset(await listed(each)) for each in clients} == {frozenset("ab")}
        assert (await reload(clients[0])).pending_workers == 0
        assert {await answer(each) for each in clients} == {"C"}


async def _outcome(client, model: str) -> str:
    try:
        await answer(client, model)
    except grpc.aio.AioRpcError as error:
        return remote_error(error).reason
    return "OK"


async def test_it_has_the_secrets_that_were_accepted_and_of_other_sections_those_of_the_start(
    config, tmp_path
):
    secret = tmp_path / "secret"
    secret.write_text("wrong")
    async with fake_openai() as server:
        section = compatible(server.url, api_key_file=str(secret), models=["m"])
        config.write(models({"chat": "a/m"}, a=section))
        async with two_workers(tmp_path, config=config.path) as workers:
            secret.write_text(KEY)
            config.write({**models({"chat": "a/m"}, a=section), "auth": {"service_token": "x" * 30}})
            assert (await reload(workers.clients[0])).changed == ["a"]
            secret.unlink()
            assert str(secret) in (await refusal(workers.clients[0])).message
            await workers.replace_one()
            # With the new section `auth` nobody could call without a key.
            for each in workers.clients:
                await each.gateway.Generate(asks("x", model="chat"), timeout=20)


async def test_a_worker_follows_what_another_one_accepted_and_not_the_file(config, tmp_path):
    config.write(models({"chat": "a/m"}, a=scripted("A")))
    async with two_workers(tmp_path, config=config.path) as workers:
        stopped = workers.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            config.write(models({"chat": "a/m"}, a=scripted("A2")))
            pending: set[int] = set()
            while not pending:
                calls = [
                    asyncio.ensure_future(each.admin.ReloadModels(admin.ReloadModelsRequest(), timeout=3))
                    for each in workers.clients
                ]
                changes = await asyncio.gather(*calls, return_exceptions=True)
                pending = {each.pending_workers for each in changes if not isinstance(each, Exception)}
            assert pending == {1}
            config.path.write_text("models: {")
        finally:
            os.kill(stopped, signal.SIGCONT)

        async def all_follow():
            return {await answer(each) for each in workers.clients} == {"A2"}

        await until(all_follow)
        assert "reload_refused" not in workers.process.log.read_text()
