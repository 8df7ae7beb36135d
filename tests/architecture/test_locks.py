"""The lock of each image has what its service needs, as requirements.txt pins it, and nothing else."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = {
    "suite": "clawdbot-cli",
    "dialogue": "clawdbot-dialogue",
    "model_gateway": "clawdbot-model-gateway",
    "plugins": "clawdbot-plugins",
}
SERVICES = [name for name in MEMBERS if name != "suite"]


def lock(path: str) -> dict[str, str]:
    """The entries of a lock for this platform: name → the line with its version, and its hashes."""
    entries = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / path).read_text()):
        requirement = Requirement(entry.partition("\\")[0].strip())
        if requirement.marker is None or requirement.marker.evaluate():
            entries[canonicalize_name(requirement.name)] = entry.strip()
    return entries


def needed(*names: str) -> set[str]:
    """The names, and what they need on this platform, all the way down."""
    found: set[tuple[str, str]] = set()
    rest = [Requirement(name) for name in names]
    while rest:
        requirement = rest.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for line in requires(name) or []:
                below = Requirement(line)
                if below.marker is None or below.marker.evaluate({"extra": extra}):
                    rest.append(below)
    return {name for name, _ in found}


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("clawdbot-")}


@pytest.mark.parametrize("service", MEMBERS)
def test_a_lock_has_what_its_service_needs_and_no_more(service):
    packages = needed(MEMBERS[service])
    assert set(lock(f"deploy/requirements-{service}.txt")) == packages - ours(packages)


@pytest.mark.parametrize("service", MEMBERS)
def test_a_lock_pins_what_the_tests_ran_with(service):
    everything = lock("requirements.txt")
    for name, entry in lock(f"deploy/requirements-{service}.txt").items():
        assert "--hash=sha256:" in entry
        assert entry.splitlines()[1:] == everything[name].splitlines()[1:]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_brings_no_other_service(service):
    others = {MEMBERS[name] for name in MEMBERS if name != service}
    assert ours(needed(MEMBERS[service])) & others == set()


@pytest.mark.parametrize(
    ("package", "owners"),
    [
        ("aiohttp", {"model_gateway"}),
        ("cel-expr-python", {"dialogue"}),
        ("jsonschema-rs", {"model_gateway"}),
        ("limits", {"plugins"}),
        ("phonenumberslite", {"dialogue"}),
        ("rich", set()),
        ("typer", set()),
    ],
)
def test_a_large_package_is_only_in_the_images_that_use_it(package, owners):
    assert {name for name in SERVICES if package in lock(f"deploy/requirements-{name}.txt")} == owners
    assert package in lock("deploy/requirements-suite.txt")


def test_the_lock_of_the_build_has_its_backend_and_hashes():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["image"]
    entries = lock("deploy/requirements-build.txt")
    for line in declared:
        requirement = Requirement(line)
        pinned = Requirement(entries[canonicalize_name(requirement.name)].partition("\\")[0].strip())
        assert requirement.specifier.contains(str(pinned.specifier).removeprefix("=="))
    assert all("--hash=sha256:" in entry for entry in entries.values())
