"""The Kubernetes manifests as `kubectl apply -k` sends them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.foreign import tool

KUBERNETES = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """The objects of an overlay."""
    program = tool("kustomize", "go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.3")
    output = subprocess.run([program, "build", str(folder)], capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr
    return list(yaml.safe_load_all(output.stdout))


class Overlay:
    """What one overlay deploys."""

    def __init__(self, folder: Path) -> None:
        self.manifests = render(folder)

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        """Name → object, of one kind."""
        return {each["metadata"]["name"]: each for each in self.manifests if each["kind"] == kind}

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Name of a Deployment, and the specification of its pods."""
        for name, each in self.of_kind("Deployment").items():
            yield name, each["spec"]["template"]["spec"]

    def containers(self) -> Iterator[tuple[str, Manifest]]:
        """Name of a Deployment, and its one container."""
        for name, pod in self.pods():
            (container,) = pod["containers"]
            yield name, container

    def configuration(self, name: str) -> str:
        """The configuration file that a Deployment's pods mount."""
        pod = self.of_kind("Deployment")[name]["spec"]["template"]["spec"]
        (volume,) = [each for each in pod["volumes"] if each["name"] == "config"]
        return str(self.of_kind("ConfigMap")[volume["configMap"]["name"]]["data"]["clawdbot.yaml"])
