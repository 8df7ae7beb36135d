"""A reload that would replace what is configured by what is found is refused."""

from __future__ import annotations

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
        assert [each["event"] for each in log] == ["reload_refused"]
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
