"""Three services in a cluster: a conversation, rollouts under load, failures, and what the pods can do."""

from __future__ import annotations

import json
import shutil
import time

import pytest
import pytest_asyncio

from tests.support.cluster import (
    NAMESPACE,
    Pods,
    attempt,
    deployed,
    forwarded,
    kubectl,
    messages_of,
    said,
    send,
    steady_load,
    unconfirmed_booking,
    until,
)
from tests.support.manifests import KUBERNETES

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

DIALOGUE, GATEWAY, PLUGINS = Pods("dialogue"), Pods("model-gateway"), Pods("plugins")
DEPLOYMENTS = (DIALOGUE, GATEWAY, PLUGINS)
GATEWAY_METRICS = 9466
ROLLOUTS = 5
CALLS_PER_SECOND = 40

EAT_MEMORY = """
import os, time
for _ in range(18):
    if os.fork() == 0:
        x = b"x" * 60 * 2**20
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
"""More than the container may have, in processes smaller than the service: the kernel ends the largest."""


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def services(tmp_path_factory):
    async with deployed("dev", tmp_path_factory.mktemp("volumes")):
        for each in DEPLOYMENTS:
            await each.rolled_out()
        yield


@pytest.fixture
def report(record_property, capsys):
    """Notes a figure for the reader of the results."""

    def note(text):
        record_property("figure", text)
        with capsys.disabled():
            print(f"\n    {text}")

    return note


async def bookings():
    """How many tables are booked."""
    (name,) = await PLUGINS.names()
    count = (
        "import pathlib, sqlite3; "
        "(path,) = pathlib.Path('/var/lib/clawdbot').rglob('bookings.sqlite'); "
        "print(sqlite3.connect(path).execute('SELECT count(*) FROM bookings').fetchone()[0])"
    )
    return int(await kubectl("exec", name, "--", "python", "-c", count))


async def test_a_conversation_through_a_service_ends_with_a_booking():
    async with forwarded("dialogue", 8081) as address:
        session = await unconfirmed_booking(address)
        assert said(await send(address, session, "yes")).startswith("Booked. Reference ")


async def test_the_api_server_accepts_every_object_strictly():
    for each in sorted((KUBERNETES / "overlays").iterdir()):
        await kubectl("apply", "-k", str(each), "--dry-run=server", "--validate=strict")


async def test_the_pods_can_do_nothing():
    account = f"--as=system:serviceaccount:{NAMESPACE}:clawdbot"
    for what in ("get pods", "get secrets", "create pods", "list configmaps", "* *"):
        code, output, _ = await attempt("auth", "can-i", *what.split(), account)
        assert (code, output.strip()) == (1, "no")
    (name,) = await DIALOGUE.names()
    code, _, _ = await attempt("exec", name, "--", "ls", "/var/run/secrets/kubernetes.io")
    assert code != 0
    code, _, errors = await attempt("exec", name, "--", "touch", "/usr/file")
    assert code != 0
    assert "Read-only file system" in errors


async def test_rollouts_of_the_gateway_lose_no_call(report):
    async with steady_load("generate", CALLS_PER_SECOND) as result:
        for _ in range(ROLLOUTS):
            old = await GATEWAY.names()
            await GATEWAY.restart()
            new = await GATEWAY.names()
            assert not old & new
            counts = {name: await GATEWAY.calls(name, GATEWAY_METRICS) for name in new}

            async def all_get_traffic(before=counts):
                return all([await GATEWAY.calls(each, GATEWAY_METRICS) > before[each] for each in before])

            await until(all_get_traffic, f"calls to each of {new}")
    report(f"{ROLLOUTS} rollouts of the gateway under load: {result}")
    assert result["failed"] == {}


async def test_rollouts_of_the_plugins_make_nothing_twice(report):
    before = await bookings()
    async with steady_load("reserve", 10) as result:
        for _ in range(2):
            await PLUGINS.restart()
    report(f"2 rollouts of the plugins under once-only calls: {result}")
    assert result["failed"] == {}
    assert await bookings() - before == result["calls"]


async def test_acknowledged_turns_outlive_a_killed_pod(report):
    async with forwarded("dialogue", 8081) as address:
        session = await unconfirmed_booking(address)
    (victim,) = await DIALOGUE.names()
    began = time.monotonic()
    await kubectl("delete", "pod", victim, "--grace-period=0", "--force")
    await DIALOGUE.rolled_out()
    report(f"a killed dialogue pod: the next one is ready after {time.monotonic() - began:.1f} s")
    async with forwarded("dialogue", 8081) as address:
        assert await messages_of(address, session) == ["a table for 4 tomorrow at 7pm"]
        assert said(await send(address, session, "yes")).startswith("Booked. Reference ")


async def test_a_rollout_of_the_dialogue_keeps_its_conversations(report):
    async with forwarded("dialogue", 8081) as address:
        session = await unconfirmed_booking(address)
    began = time.monotonic()
    await DIALOGUE.restart()
    report(f"a rollout of the dialogue takes {time.monotonic() - began:.1f} s")
    async with forwarded("dialogue", 8081) as address:
        assert said(await send(address, session, "yes")).startswith("Booked. Reference ")


async def test_a_killed_gateway_pod_leaves_the_traffic_to_the_other(report):
    async with steady_load("generate", CALLS_PER_SECOND) as result:
        victim = min(await GATEWAY.names())
        await kubectl("delete", "pod", victim, "--grace-period=0", "--force")
        await GATEWAY.rolled_out()
    report(f"a gateway pod killed under load: {result}")
    # The calls that it was answering are lost with it, and those sent before its end was noticed.
    assert sum(result["failed"].values()) < CALLS_PER_SECOND


async def test_a_container_that_runs_out_of_memory_is_started_again_with_its_turns(report):
    async with forwarded("dialogue", 8081) as address:
        session = await unconfirmed_booking(address)
    (name,) = await DIALOGUE.names()
    before = await DIALOGUE.restarts()
    began = time.monotonic()
    await attempt("exec", name, "--", "python", "-c", EAT_MEMORY)

    async def restarted():
        return await DIALOGUE.restarts() > before and await DIALOGUE.ready() == 1

    await until(restarted, "a restart of the container")
    (pod,) = await DIALOGUE.list()
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    report(f"out of memory ({last['reason']}): ready again after {time.monotonic() - began:.1f} s")
    assert last["reason"] == "OOMKilled"
    async with forwarded("dialogue", 8081) as address:
        assert said(await send(address, session, "yes")).startswith("Booked. Reference ")


async def test_a_lost_dependency_makes_pods_not_ready_and_ready_again(report):
    restarts = [await each.restarts() for each in DEPLOYMENTS[:2]]
    began = time.monotonic()
    await kubectl("scale", "deployment/plugins", "--replicas=0")

    async def without_plugins():
        return await DIALOGUE.ready() == 0

    await until(without_plugins, "the dialogue not ready")
    lost = time.monotonic() - began
    (name,) = await DIALOGUE.names()

    async def is_named():
        # The gateway is not ready either, and can be the first that the dialogue misses.
        return '"dependency":"plugins"' in await kubectl("logs", name)

    await until(is_named, "plugins in the dialogue's log")
    assert [await each.restarts() for each in DEPLOYMENTS[:2]] == restarts
    began = time.monotonic()
    await kubectl("scale", "deployment/plugins", "--replicas=1")
    for each in DEPLOYMENTS:
        await each.rolled_out()
    back = time.monotonic() - began
    report(f"without plugins not ready after {lost:.1f} s, with them ready again after {back:.1f} s")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("set image deployment/model-gateway service=localhost/clawdbot/model_gateway:missing", "image"),
        ("set env deployment/model-gateway CLAWDBOT_SERVER__GRACE=soon", "CLAWDBOT_SERVER__GRACE"),
    ],
    ids=["bad image", "bad configuration"],
)
async def test_a_bad_rollout_stops_and_can_be_undone(report, change, reason):
    old = await GATEWAY.names()
    async with steady_load("generate", CALLS_PER_SECOND) as result:
        await kubectl(*change.split())
        code, _, _ = await attempt("rollout", "status", "deployment/model-gateway", "--timeout=20s")
        assert code != 0, "the rollout went on"
        assert old <= await GATEWAY.names()
        (bad,) = await GATEWAY.names() - old

        async def is_named():
            status = await kubectl("get", "pod", bad, "-o", "json")
            (container,) = json.loads(status)["status"]["containerStatuses"]
            told = json.dumps(container["state"]) + (await attempt("logs", bad))[1]
            return reason in told

        await until(is_named, f"{reason} in what the pod says")
        await kubectl("rollout", "undo", "deployment/model-gateway")
        await GATEWAY.rolled_out()
    report(f"a rollout with a {change.split()[1]} that is wrong, undone: {result}")
    assert old == await GATEWAY.names()
    assert result["failed"] == {}


async def test_a_change_of_the_configuration_rolls_the_pods(tmp_path):
    old = {each.deployment: await each.names() for each in DEPLOYMENTS}
    changed = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, changed)
    file = changed / "pod" / "clawdbot.yaml"
    file.write_text(file.read_text().replace("log_format: json", "log_format: json, log_level: debug"))
    await kubectl("apply", "-k", str(changed / "overlays" / "dev"))
    for each in DEPLOYMENTS:
        await each.rolled_out()
        assert not old[each.deployment] & await each.names()
