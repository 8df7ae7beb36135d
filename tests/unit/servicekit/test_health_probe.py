"""The probe says whether a service is SERVING, by its exit code and in one sentence."""

from __future__ import annotations

import asyncio
import sys

import pytest
from clawdbot_servicekit.health_probe import problem

from tests.support.foreign import run
from tests.support.hosts import hosting
from tests.support.ports import free_port
from tests.support.trial_service import TrialSection

PROBE = (sys.executable, "-m", "clawdbot_servicekit.health_probe")


async def test_a_serving_service_has_exit_code_0(tmp_path):
    async with hosting(tmp_path) as hosted:
        for arguments in ((), ("readiness",), ("liveness",), ("",)):
            assert await run(*PROBE, hosted.address, *arguments) == (0, "", "")


async def test_a_unix_socket_is_probed_as_well(tmp_path):
    async with hosting(tmp_path, server={"socket": tmp_path / "s.sock"}):
        assert await asyncio.to_thread(problem, f"unix:{tmp_path / 's.sock'}", "readiness", 10.0) is None


async def test_a_service_that_is_not_ready_is_alive_and_has_exit_code_1(tmp_path):
    never = TrialSection(ready_file=tmp_path / "never")
    async with hosting(tmp_path, never, until_ready=False) as hosted:
        code, _, said = await run(*PROBE, hosted.address)
        assert (code, said.strip()) == (1, "readiness is NOT_SERVING.")
        assert await asyncio.to_thread(problem, hosted.address, "liveness", 10.0) is None


async def test_a_service_that_nobody_knows_is_named(tmp_path):
    async with hosting(tmp_path) as hosted:
        said = await asyncio.to_thread(problem, hosted.address, "readyness", 10.0)
    assert said == f"{hosted.address} has no service readyness."


@pytest.mark.parametrize("kind", ["port", "socket"])
async def test_nobody_who_listens_is_one_sentence(kind):
    address = f"127.0.0.1:{free_port()}" if kind == "port" else "unix:/nowhere/s.sock"
    code, _, said = await run(*PROBE, address, "--timeout", "5")
    assert code == 1
    assert said.startswith(f"{address} does not answer: ")
    assert said.count("\n") == 1
