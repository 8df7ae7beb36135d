"""The commands in docs/plugins.md work as written, against a service started for this test."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.support.foreign import run, tool
from tests.support.processes import process

pytestmark = pytest.mark.integration

TEXT = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text()
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("grpcurl ")
]


async def test_every_grpcurl_command_works(tmp_path):
    grpcurl = tool("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest")
    assert len(COMMANDS) == 5
    answers = []
    async with process("clawdbot_plugins", state=tmp_path) as service:
        for _, *arguments in COMMANDS:
            code, output, errors = await run(
                grpcurl, *(each.replace("localhost:8083", service.address) for each in arguments)
            )
            assert code == 0, errors
            answers.append(json.loads(output))
    plugins, tools, evaluation, time, gate = answers
    assert [each["name"] for each in plugins["plugins"]] == ["calculator", "clock", "tables"]
    assert [each["spec"]["name"] for each in tools["tools"]] == ["tables.find", "tables.reserve"]
    assert evaluation == json.loads(re.search(r"^```json\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)[1])
    assert time["result"]["structured"]["utc_offset"] == "+09:00"
    assert gate == {"allowed": True}
