"""A reload that would replace what is configured by what is found is refused."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from structlog.testing import capture_logs

from tests.support.reloads import ConfigFile, answer, listed, loaded, models, refusal, reload, scripted


@pytest.fixture
def config(tmp_path):
    return ConfigFile(tmp_path / "clawdbot.yaml")


ONE, SEVERAL = {"model": scripted("real")}, models({"chat": "a/m"}, a=scripted("real"), b=scripted("B"))
VANISHED = {
    "an emptied file": "",
    "a file of comments": "# nothing\n---\n",
    "an empty section": "models:\nmodel: null\n",
    "only other sections": "server: {grace: 5s}\nlimits: {reserve_output: 10}\n",
}


@pytest.mark.parametrize("configured", [ONE, SEVERAL], ids=["model", "models"])
@pytest.mark.parametrize("vanished", VANISHED)
async def test_a_configured_model_is_never_replaced_by_a_discovered_one(
    config, tmp_path, configured, vanished
):
    config.write(configured)
    async with loaded(config, tmp_path) as served:
        before = await listed(served.client)
        config.path.write_text(VANISHED[vanished])
        fault = await refusal(served.client)
        assert (fault.code, fault.reason) == ("FAILED_PRECONDITION", "CONFIGURATION_INVALID")
        assert "model or models" in fault.message
        assert "restart" in fault.message
        assert await listed(served.client) == before
        with capture_logs() as log:
            await served.host.reload()
        assert [each["event"] for each in log if each["event"] != "call"] == ["reload_refused"]
        assert await answer(served.client) == "real"
        config.write(models({"chat": "c/m"}, c=scripted("next")))
        await reload(served.client)
        assert await answer(served.client) == "next"


async def test_a_reload_without_the_model_of_the_semantic_cache_is_refused(config, tmp_path):
    cache = {"gateway": {"cache": {"semantic": {"model": "b/m", "tenants": ["*"]}}}}
    config.write({**models(a=scripted("A"), b=scripted("B")), **cache})
    async with loaded(config, tmp_path, gateway=None) as served:
        config.write({**models(a=scripted("A")), **cache})
        fault = await refusal(served.client)
        assert fault.reason == "CONFIGURATION_INVALID"
        assert "gateway.cache.semantic.model: there is no backend b" in fault.message
        assert await listed(served.client) == {"a", "b"}


async def test_a_file_in_the_working_directory_that_is_gone_changes_nothing(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config.write(ONE)
    async with loaded(config, tmp_path, named=False) as served:
        config.path.unlink()
        assert (await refusal(served.client)).reason == "CONFIGURATION_INVALID"
        assert await answer(served.client) == "real"


LATE = {
    "a provider": ("a: {provider: echoo}", "5: models.backends.a.provider: there is no provider echoo"),
    "an option": ("a: {provider: echo, pacee: 1s}", "5: unknown key models.backends.a.pacee"),
    "a value of an option": ("a: {provider: echo, pace: soon}", "5: models.backends.a.pace: expected a dur"),
    "a name with dots": (
        "a: {provider: echo}\n    a.b-2.0: {provider: x}",
        "6: models.backends.a.b-2.0.provi",
    ),
    "a tokenizer": (
        "a: {provider: echo, tokenizer: /nowhere}",
        "5: models.backends.a.tokenizer: /nowhere",
    ),
    "a limit": (
        "b: {provider: openai_compatible, endpoint: 'http://h/v1', queue: {concurrency: 999}}",
        "5: models.backends.b.queue.concurrency: 999 requests",
    ),
    "a target": (
        "a: {provider: echo}\n  aliases:\n    x: [b/m]",
        "7: models.aliases.x: there is no backend b",
    ),
    "a rule": (
        "a: {provider: echo}\n  rules:\n    - {when: 'true', model: a/m}\n    - {when: 'true', model: no}",
        "8: models.rules[1].model: there is no alias no;",
    ),
}
HEAD = "server: {port: 0}\ntelemetry: {metrics_port: 0}\nmodels:\n  backends:\n    "


@pytest.mark.parametrize("late", LATE)
async def test_what_is_found_after_the_file_was_read_has_its_place_there(config, tmp_path, late):
    text, message = LATE[late]
    config.path.write_text(f"{HEAD}a: {{provider: echo}}\n")
    async with loaded(config, tmp_path) as served:
        config.path.write_text(f"{HEAD}{text}\n")
        fault = await refusal(served.client)
    assert fault.reason == "CONFIGURATION_INVALID"
    assert f"invalid: {config.path}:{message}" in fault.message
    assert fault.message.count(str(config.path)) == 1


@pytest.mark.integration
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LATE["a provider"][0], LATE["a provider"][1]),
        (
            "a: {provider: echo}\nlimits: {tenant: {models: {nosuch: {requests: 1/day}}}}",
            "6: limits.tenant.models.nosuch: there is no model nosuch",
        ),
        ("a: {provider: echo}\nlimits:\n  redis: 'redis://h:port/0'", "7: limits.redis: not a valid URL"),
    ],
)
async def test_a_start_that_fails_says_where_too(config, tmp_path, text, message):
    config.path.write_text(f"{HEAD}{text}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clawdbot_model_gateway", "--config", str(config.path)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CLAWDBOT_STATE_DIR": str(tmp_path / "state")},
    )
    _, shown = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 2
    assert f"{config.path}:{message}" in shown.decode()
    assert "Traceback" not in shown.decode()
