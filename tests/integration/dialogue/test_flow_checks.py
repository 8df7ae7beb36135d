"""A check of what a caller sends is limited in time and memory, ends with its caller, and blocks nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import grpc
import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as dialogue_pb
from clawdbot.dialogue.v1 import flow_service_pb2 as pb
from clawdbot_dialogue.core import flow_admin
from clawdbot_dialogue.core.sessions import deployments
from clawdbot_servicekit.limited_process import Limits

from tests.support.conditions import until
from tests.support.dialogue_service import rpc_error, serving

PATIENCE = 200.0
"""Seconds for a check of a large flow, which takes four on an idle machine."""
MANY = 12_000
LARGE = "flow: large\nversion: 1\ndescription: Many states\nstates:\n" + "".join(
    f"  s{at}: {{handoff: q, next: s{(at + 1) % MANY}}}\n" for at in range(MANY)
)
WRONG = """flow: wrong
version: 1
description: d
states:
  a: {call: {tool: shop.look, args: {n: 1}}, next: [{on_error: any, to: b}, {to: b}]}
  b: {subflow: {flow: endless}, next: c}
  c: {subflow: {flow: nowhere}, next: d}
  d: {generate: {instructions: i, model: large}, next: e}
  e: {end: true}
"""
ENDLESS = "flow: endless\nversion: 1\ndescription: d\nstates: {a: {say: x}}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
async def served(tmp_path, monkeypatch):
    patient = Limits(seconds=PATIENCE, memory=1024**3, processes=2)
    monkeypatch.setattr(flow_admin, "CHECK_LIMITS", patient)
    async with serving(tmp_path, dialogue={"max_flow": 4_000_000}) as served:
        yield served


def children():
    """The processes that this one started and that run now."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def validate(served, source, timeout=PATIENCE):
    return served.flows.ValidateFlow(pb.ValidateFlowRequest(source=source), timeout=timeout)


def deploy(served):
    return served.flows.DeployFlow(pb.DeployFlowRequest(source=LARGE), timeout=PATIENCE)


async def test_a_source_gets_the_same_diagnostics_wherever_it_is_checked(served):
    await served.flows.DeployFlow(pb.DeployFlowRequest(source=ENDLESS))
    served.peers.tools.add("shop.look", lambda arguments: arguments)
    for source in (WRONG, WRONG.replace("e: {end", "e: {ned"), BOMB, "", "- a", ENDLESS):
        padded = source + "\n" + "# padding\n" * 2_000
        here, there = await validate(served, source), await validate(served, padded)
        assert here == there
    codes = {each.code for each in (await validate(served, WRONG)).diagnostics}
    assert codes == {"cannot-resume", "unknown-flow", "unknown-model"}


async def test_a_large_flow_is_deployed_and_others_are_served_meanwhile(served, monkeypatch):
    compiling, answered, compile_flow = threading.Event(), threading.Event(), deployments.compile_flow

    def held(source, file):
        compiling.set()
        assert answered.wait(30), "nobody is served while a flow is compiled"
        return compile_flow(source, file)

    monkeypatch.setattr(deployments, "compile_flow", held)
    session = await served.open("faq")
    deploying = asyncio.ensure_future(deploy(served))
    await until(compiling.is_set, PATIENCE)
    await served.dialogue.GetSession(dialogue_pb.GetSessionRequest(session_id=session.id), timeout=PATIENCE)
    answered.set()
    assert (await deploying).flow.name == "large"
    session = await served.open("large")
    assert session.flow_version == 1


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(seconds=0.3, memory=1024**3, processes=1), "0.3 seconds"),
        (Limits(seconds=PATIENCE, memory=120 * 1024**2, processes=1), "120 MB of memory"),
    ],
    ids=["time", "memory"],
)
async def test_a_check_that_reaches_a_limit_says_which_and_what_to_do(tmp_path, monkeypatch, limits, told):
    monkeypatch.setattr(flow_admin, "CHECK_LIMITS", limits)
    async with serving(tmp_path, dialogue={"max_flow": 4_000_000}) as served:
        for call in (validate(served, LARGE), deploy(served)):
            error = await rpc_error(call)
            assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "FLOW_TOO_COSTLY")
            assert told in error.message
            assert "fewer states" in error.message
            assert error.retry_after is None
        assert not (await validate(served, ENDLESS)).diagnostics


async def checking(served, before):
    """Starts a check, and returns it once its process runs."""
    call = validate(served, LARGE * 4)
    running = asyncio.ensure_future(call.code())
    await until(lambda: children() - before)
    return call, running


async def ended(before):
    return await until(lambda: not children() - before)


async def test_a_check_ends_when_its_caller_has_gone(served):
    before = children()
    call, running = await checking(served, before)
    call.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await ended(before)


async def test_a_check_ends_with_its_callers_deadline(served):
    before = children()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await validate(served, LARGE, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await ended(before)


async def test_a_check_does_not_keep_the_service_from_stopping(served):
    before = children()
    _, running = await checking(served, before)
    for process in children() - before:
        os.kill(process, signal.SIGSTOP)  # so that it never ends by itself
    async with asyncio.timeout(60):
        await served.host.stop(0)
    assert await running is grpc.StatusCode.UNAVAILABLE
    assert await ended(before)


async def test_a_deployed_flow_is_compiled_once_whoever_waits_for_it(served, monkeypatch):
    compiled, compile_flow = [], deployments.compile_flow

    def counted(source, file):
        compiled.append(file)
        return compile_flow(source, file)

    monkeypatch.setattr(deployments, "compile_flow", counted)
    deploying = asyncio.ensure_future(deploy(served))
    await until(lambda: compiled)
    impatient = [served.flows.ListFlows(pb.ListFlowsRequest(), timeout=0.1) for _ in range(10)]
    await asyncio.gather(*impatient, return_exceptions=True)
    listed = await served.flows.ListFlows(pb.ListFlowsRequest(), timeout=PATIENCE)
    assert "large" in {flow.name for flow in listed.flows}
    await deploying
    assert compiled == ["large.yaml"]
