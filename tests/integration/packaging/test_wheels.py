"""Wheels hold all that their sources hold, and plain pip installs from them a suite that converses."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.dialogue_client import said, talk
from tests.support.foreign import run
from tests.support.processes import process

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[3]
MEMBERS = sorted(
    each.parent
    for folder in ("cli", "libs/*", "services/*")
    for each in ROOT.glob(f"{folder}/pyproject.toml")
)


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with the wheels and the source distributions of all members, as `make wheels` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--all-packages", "--out-dir", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory):
    """The Python of an environment in which plain pip has installed the suite's lock, and then the wheels."""
    environment = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    lock = ROOT / "deploy" / "requirements-suite.txt"
    pip = (environment / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, "install", "--require-hashes", "--requirement", lock], check=True)
    subprocess.run([*pip, "install", "--no-index", "--find-links", dist, "clawdbot-cli"], check=True)
    return environment / "bin" / "python"


def distribution(dist: Path, member: Path, suffix: str) -> Path:
    """The member's one distribution with the suffix."""
    name = tomllib.loads((member / "pyproject.toml").read_text())["project"]["name"].replace("-", "_")
    (found,) = dist.glob(f"{name}-*{suffix}")
    return found


def sources(member: Path) -> set[str]:
    """The files of a member's packages: code, py.typed, stubs, flows, templates."""
    source = member / "src"
    return {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_a_wheel_has_every_file_of_its_package_and_its_entry_points(dist, member):
    with zipfile.ZipFile(distribution(dist, member, ".whl")) as wheel:
        files = {each for each in wheel.namelist() if not each.endswith("/")}
        metadata = {each for each in files if ".dist-info/" in each}
        listed = next((each for each in metadata if each.endswith("/entry_points.txt")), None)
        lines = wheel.read(listed).decode() if listed else ""
    assert files - metadata == sources(member)
    assert any(each.endswith("/py.typed") for each in files)
    entry_points = configparser.ConfigParser(delimiters="=")
    entry_points.optionxform = str
    entry_points.read_string(lines)
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    declared = {**project.get("entry-points", {})}
    if "scripts" in project:
        declared["console_scripts"] = project["scripts"]
    assert {name: dict(entry_points[name]) for name in entry_points.sections()} == declared


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_a_source_distribution_has_every_file_of_its_package(dist, member):
    with tarfile.open(distribution(dist, member, ".tar.gz")) as archive:
        files = {each.name.partition("/src/")[2] for each in archive if each.isfile()}
    assert files - {""} == sources(member)


def test_plain_pip_builds_a_member_from_its_sources(dist, tmp_path):
    """The build backend can be fetched in a version that `requires` allows. All members name the same."""
    backends = {
        str(tomllib.loads((member / "pyproject.toml").read_text())["build-system"]) for member in MEMBERS
    }
    assert len(backends) == 1
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    archive = distribution(dist, ROOT / "libs" / "protos", ".tar.gz")
    pip = (tmp_path / "venv" / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path / "built", archive], check=True)
    assert [each.suffix for each in (tmp_path / "built").iterdir()] == [".whl"]


async def test_the_installed_suite_books_a_table(installed, tmp_path):
    async with (
        process("clawdbot_cli", "up", python=installed, state=tmp_path) as suite,
        talk(suite.address, "book_table") as booking,
    ):
        assert booking.opening == "For how many people?"
        await booking.say("a table for 4 tomorrow at 7pm")
        assert said(await booking.say("yes")).startswith("Booked. Reference ")


async def test_the_installed_command_has_its_templates(installed, tmp_path):
    clawdbot = installed.with_name("clawdbot")
    for arguments in (("new", "contact"), ("lint", "contact.yaml"), ("test", "contact.test.yaml")):
        code, _, errors = await run(str(clawdbot), "flow", *arguments, cwd=tmp_path)
        assert code == 0, errors
