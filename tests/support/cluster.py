"""The Kubernetes cluster that KUBECONFIG names, through kubectl."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.foreign import run, tool
from tests.support.manifests import KUBERNETES

NAMESPACE = "clawdbot"
KEY = "a-key-for-the-operator-in-tests"
IMAGES = ("dialogue", "model_gateway", "plugins", "suite")
DIALOGUE_SERVICE = "clawdbot.dialogue.v1.DialogueService"
PATIENCE = 180.0
"""Seconds for a pod to become what a test waits for, on a busy machine."""


async def kubectl(*arguments: str, given: str = "") -> str:
    """What kubectl prints; AssertionError with its own words if it fails."""
    code, output, errors = await attempt(*arguments, given=given)
    assert code == 0, errors
    return output


async def attempt(*arguments: str, given: str = "") -> tuple[int, str, str]:
    """A command of kubectl that may fail: exit code, output, error."""
    return await run(tool("kubectl", "kubernetes.io"), "--namespace", NAMESPACE, *arguments, given=given)


async def load_images() -> None:
    """Brings the built images to the cluster's nodes, with the command that CLUSTER_LOAD names."""
    for name in IMAGES:
        command = [*shlex.split(os.environ["CLUSTER_LOAD"]), f"localhost/clawdbot/{name}:dev"]
        code, output, errors = await run(*command)
        assert code == 0, output + errors


def volume(name: str, node: str, folder: str) -> dict[str, Any]:
    """A volume on a node's disk, for the claim of that name: a test cluster provisions none."""
    hostname = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{NAMESPACE}-{name}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": NAMESPACE, "name": name},
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hostname]}]}},
        },
    }


async def until(fact: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE) -> float:
    """Returns how long it took until the fact held."""
    started = time.monotonic()
    while not await fact():
        assert time.monotonic() - started < seconds, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.25)
    return time.monotonic() - started


class Pods:
    """The pods of one Deployment."""

    def __init__(self, deployment: str) -> None:
        self.deployment = deployment

    async def list(self) -> list[dict[str, Any]]:
        """Those that are not about to end."""
        output = await kubectl("get", "pods", "-l", f"app.kubernetes.io/name={self.deployment}", "-o", "json")
        items: list[dict[str, Any]] = json.loads(output)["items"]
        return [each for each in items if "deletionTimestamp" not in each["metadata"]]

    async def names(self) -> set[str]:
        """Their names."""
        return {each["metadata"]["name"] for each in await self.list()}

    async def ready(self) -> int:
        """How many are ready."""
        conditions = [each["status"].get("conditions", []) for each in await self.list()]
        ready = {"type": "Ready", "status": "True"}.items()
        return sum(ready <= condition.items() for each in conditions for condition in each)

    async def restarts(self) -> int:
        """How often their containers were restarted."""
        return sum(
            status["restartCount"]
            for each in await self.list()
            for status in each["status"].get("containerStatuses", [])
        )

    async def calls(self, name: str, port: int) -> int:
        """How many calls one of them has answered, by its metrics."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:{port}/proxy/metrics"
        metrics = await kubectl("get", "--raw", path)
        found = re.findall(
            r"^rpc_server_call_duration_seconds_count\{.*\} ([\d.e+]+)$", metrics, re.MULTILINE
        )
        return round(sum(map(float, found)))

    async def rolled_out(self, seconds: float = PATIENCE) -> None:
        """Returns once all replicas are of the newest version and ready."""
        await kubectl("rollout", "status", f"deployment/{self.deployment}", f"--timeout={seconds:g}s")

    async def restart(self) -> None:
        """Replaces all by new ones, one after another."""
        await kubectl("rollout", "restart", f"deployment/{self.deployment}")
        await self.rolled_out()


@asynccontextmanager
async def steady_load(kind: str, per_second: float) -> AsyncIterator[dict[str, Any]]:
    """Calls from a pod while the block runs; afterwards the dictionary has what came of them."""
    name = f"load-{kind}"
    script = (Path(__file__).parents[1] / "cluster" / "load.py").read_text()
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "load",
                    "image": "localhost/clawdbot/suite:dev",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", script, kind, f"{per_second:g}"],
                    "env": [{"name": "KEY", "value": KEY}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    result: dict[str, Any] = {}
    await attempt("delete", "pod", name, "--ignore-not-found", "--grace-period=0", "--force")
    await kubectl("apply", "-f", "-", given=yaml.safe_dump(pod))
    try:
        await kubectl("wait", f"pod/{name}", "--for=condition=Ready", f"--timeout={PATIENCE:g}s")
        await asyncio.sleep(2)
        yield result
        await asyncio.sleep(2)
        await kubectl("exec", name, "--", "touch", "/tmp/stop")
        await kubectl(
            "wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", f"--timeout={PATIENCE:g}s"
        )
        result |= json.loads((await kubectl("logs", name)).splitlines()[-1])
    finally:
        await attempt("delete", "pod", name, "--ignore-not-found", "--grace-period=0", "--force")


@asynccontextmanager
async def forwarded(service: str, port: int) -> AsyncIterator[str]:
    """A local address that leads to a Service."""
    process = await asyncio.create_subprocess_exec(
        tool("kubectl", "kubernetes.io"),
        *("--namespace", NAMESPACE, "port-forward", f"service/{service}", f":{port}"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield found[0]
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def deployed(overlay: str, state: Path) -> AsyncIterator[None]:
    """An overlay in the cluster, as docs/kubernetes.md has it, and nothing of it afterwards."""
    await _delete()
    folder = KUBERNETES / "overlays" / overlay
    await kubectl("apply", "-f", str(KUBERNETES / "pod" / "namespace.yaml"))
    secret = (
        f"--from-literal=operator-key={KEY}",
        "--from-literal=service-token=a-token-of-the-services-in-tests",
    )
    await kubectl("create", "secret", "generic", "clawdbot", *secret)
    try:
        if not (await kubectl("get", "storageclass", "-o", "name")).strip():
            await _provide_volumes(state)
        await kubectl("apply", "-k", str(folder))
        yield
    finally:
        await _delete()


async def _provide_volumes(state: Path) -> None:
    """For a cluster without a storage class whose only node is this machine."""
    (node,) = (await kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")).split()
    for name in ("dialogue-state", "plugins-state", "suite-state"):
        folder = state / name
        folder.mkdir(parents=True)
        await kubectl("apply", "-f", "-", given=yaml.safe_dump(volume(name, node, str(folder))))


async def _delete() -> None:
    await attempt("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    for name in ("dialogue-state", "plugins-state", "suite-state"):
        await attempt("delete", "persistentvolume", f"{NAMESPACE}-{name}", "--ignore-not-found")


async def grpcurl(address: str, method: str, request: dict[str, object]) -> Any:
    """A unary call with the operator's key, as a person would type it."""
    program = tool("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest")
    key = ("-H", f"authorization: Bearer {KEY}")
    code, output, errors = await run(program, "-plaintext", *key, "-d", json.dumps(request), address, method)
    assert code == 0, errors
    return json.loads(output)


def said(reply: dict[str, Any]) -> str:
    """The texts of a turn's replies."""
    return " ".join(part["text"] for each in reply["turn"]["replies"] for part in each["parts"])


async def unconfirmed_booking(address: str) -> str:
    """The id of a session that waits for the yes."""
    opened = await grpcurl(address, f"{DIALOGUE_SERVICE}/CreateSession", {"flow": "book_table"})
    session = opened["session"]["id"]
    asked = await send(address, session, "a table for 4 tomorrow at 7pm")
    assert said(asked).startswith("Shall I book a table for 4 on ")
    return session


async def send(address: str, session: str, text: str) -> Any:
    """The reply to a message in a session."""
    return await grpcurl(address, f"{DIALOGUE_SERVICE}/SendTurn", {"session_id": session, "text": text})


async def messages_of(address: str, session: str) -> list[str]:
    """What was said in a session."""
    reply = await grpcurl(address, f"{DIALOGUE_SERVICE}/ListTurns", {"session_id": session})
    inputs = [each["input"] for each in reply["turns"] if "input" in each]
    return [part["text"] for each in inputs for part in each["parts"]]
