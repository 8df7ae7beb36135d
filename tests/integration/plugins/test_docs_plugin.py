"""The plugin of docs/plugins.md, typed as it stands there, installed with the page's commands and called."""

from __future__ import annotations

import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2

from tests.support.foreign import run
from tests.support.plugin_service import Client
from tests.support.processes import process

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]  # it makes an environment of its own

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "plugins.md").read_text()
MEMBERS = ("libs/protos", "libs/plugin_sdk", "libs/servicekit", "services/plugins")


def blocks(language: str, heading: str) -> list[str]:
    """The code blocks of a section of the page."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)[1]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


EDITABLE, WHEEL, FOLDER, UNINSTALL = blocks("sh", "Install one")
(CONFIGURATION,) = blocks("yaml", "Install one")


async def shell(commands: str, folder: Path) -> None:
    code, _, errors = await run("bash", "-c", f"set -e\n{commands}", cwd=folder)
    assert code == 0, errors


@pytest.fixture
async def suite(tmp_path):
    """A folder beside the plugin's, with `.venv` in it, as `make setup` leaves it."""
    folder = tmp_path / "clawdbot"
    folder.mkdir()
    uv = Path(sys.executable).with_name("uv")
    members = " ".join(f"--editable {ROOT / member}" for member in MEMBERS)
    await shell(
        f"{uv} venv --quiet --python {sys.executable} .venv\n"
        f"{uv} pip install --quiet --require-hashes --python .venv/bin/python -r {ROOT}/requirements.txt\n"
        f"{uv} pip install --quiet --no-deps --python .venv/bin/python {members}\n"
        f"ln -s {uv} .venv/bin/uv",
        folder,
    )
    (folder / "clawdbot.yaml").write_text(CONFIGURATION)
    return folder


@pytest.fixture
def source(tmp_path):
    """The plugin's one Python file, in the tree that the page draws."""
    (tree,) = blocks("text", "Write one")
    folder, project, module = tree.split()
    (manifest,) = blocks("toml", "Write one")
    (tmp_path / folder / module).parent.mkdir(parents=True)
    (tmp_path / folder / project).write_text(manifest)
    (tmp_path / folder / module).write_text(blocks("python", "Write one")[0])
    return tmp_path / folder / module


@asynccontextmanager
async def serving(suite: Path):
    """The plugin service of that environment, with the page's configuration."""
    command = ("clawdbot_plugins", "--config", str(suite / "clawdbot.yaml"))
    async with (
        process(*command, state=suite / "state", python=suite / ".venv/bin/python") as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        yield Client(channel)


async def test_the_plugin_is_installed_in_each_of_the_ways_and_called(suite, source):
    for install in (EDITABLE, WHEEL, FOLDER):
        await shell(install, suite)
        async with serving(suite) as client:
            listed = await client.tools.ListTools(tool_service_pb2.ListToolsRequest(plugin="dice"))
            assert [each.spec.name for each in listed.tools] == ["dice.roll"]
            assert (await client.structured("dice.roll", dice=3, sides=1))["total"] == 3
            refused = (await client.result("dice.roll", dice=21)).content[0].text
            assert refused == "The cup holds at most 20 dice."
        await shell(UNINSTALL, suite)
        code, _, errors = await run(str(suite / ".venv/bin/python"), "-m", "clawdbot_plugins", cwd=suite)
        assert (code, "plugins: there is no plugin dice" in errors) == (2, True)


@pytest.mark.parametrize(("first", "again"), [(EDITABLE, ""), (FOLDER, FOLDER)], ids=["editable", "folder"])
async def test_a_change_is_served_after_a_restart(suite, source, first, again):
    """Without another installation if it is editable, else after one."""
    await shell(first, suite)
    source.write_text(source.read_text().replace("The cup holds", "The new cup holds"))
    await shell(again, suite)
    async with serving(suite) as client:
        refused = (await client.result("dice.roll", dice=21)).content[0].text
    assert refused == "The new cup holds at most 20 dice."
