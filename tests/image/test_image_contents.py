"""What is in an image, and what is not."""

from __future__ import annotations

import json
import subprocess
import tomllib

import pytest
from packaging.utils import canonicalize_name

from tests.support.containers import image, in_image, inspect
from tests.support.packages import IMAGES, ROOT, members, needed

pytestmark = [pytest.mark.image, pytest.mark.timeout(300)]

PORTS = {
    "suite": (8080, 9464),
    "dialogue": (8081, 9465),
    "model_gateway": (8082, 9466),
    "plugins": (8083, 9467),
}

DISTRIBUTIONS = """
import importlib.metadata, json
print(json.dumps({each.name: each.version for each in importlib.metadata.distributions()}))
"""

STRAY_FILES = """
import asyncio, json, os, pathlib, shutil, ssl, sys
from importlib.util import cache_from_source
environment = pathlib.Path(sys.prefix)
tools = ("gcc", "cc", "g++", "ld", "strip", "make", "uv", "git")
folders = ("/build", "/tools", "/root/.cache", "/var/lib/clawdbot/.cache")
sources = [*environment.glob("lib/**/*.py"), *(pathlib.Path(each.__file__) for each in (asyncio, json, ssl))]
print(json.dumps({
    "tools": [name for name in tools if shutil.which(name)],
    "left from the build": [name for name in folders if os.path.exists(name)],
    "pip": [str(path) for name in ("pip", "pip-*", "pip3*") for path in environment.glob(f"**/{name}")],
    "not compiled": [str(path) for path in sources if not os.path.exists(cache_from_source(path))],
}))
"""


@pytest.mark.parametrize("service", IMAGES)
def test_it_runs_one_service_as_a_user_without_a_name(service):
    config = inspect(service)
    assert config["User"] == "65532:65532"
    assert isinstance(config["Entrypoint"], list)
    assert "/bin/sh" not in config["Entrypoint"]
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert set(config["ExposedPorts"]) == {f"{port}/tcp" for port in PORTS[service]}
    assert list(config["Volumes"]) == ["/var/lib/clawdbot"]


@pytest.mark.parametrize("service", IMAGES)
def test_its_labels_say_where_it_comes_from(service):
    labels = inspect(service)["Labels"]
    found = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in labels.items()
        if key.startswith("org.opencontainers.image.")
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    git = ("git", "-C", str(ROOT), "log", "-1", "--format=%H %cI")
    revision, created = subprocess.run(git, check=True, capture_output=True, text=True).stdout.split()
    assert found["title"] == f"clawdbot-{service}"
    assert (found["version"], found["created"]) == (version, created)
    assert found["revision"].removesuffix("-dirty") == revision
    assert "source" in found
    assert found["licenses"] == "Apache-2.0"


@pytest.mark.parametrize("service", IMAGES)
def test_it_has_the_packages_of_its_service_and_no_other(service):
    installed = {canonicalize_name(name) for name in in_image(service, DISTRIBUTIONS)}
    assert members(installed) == members(needed(IMAGES[service]))


@pytest.mark.parametrize("service", IMAGES)
def test_it_has_no_compiler_no_pip_and_no_cache_and_all_bytecode(service):
    found = in_image(service, STRAY_FILES)
    assert {key: value for key, value in found.items() if value} == {}


@pytest.mark.parametrize("service", IMAGES)
def test_its_sbom_lists_every_package_in_it_and_lies_beside_it_too(service):
    inside = in_image(service, "print(open('/opt/clawdbot/sbom.cdx.json').read())")
    listed = {canonicalize_name(each["name"]): each["version"] for each in inside["components"]}
    installed = in_image(service, DISTRIBUTIONS)
    assert inside["bomFormat"] == "CycloneDX"
    assert listed == {canonicalize_name(name): version for name, version in installed.items()}
    beside = ROOT / "build" / "image" / service / "sbom.cdx.json"
    assert json.loads(beside.read_text()) == inside, f"{beside} is not that of {image(service)}"
