"""Programs that nobody here wrote: grpcurl, Node with @grpc/grpc-js, Mermaid's parser.

Where one is missing its tests are skipped, and say what to install.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).resolve().parents[1] / "integration"
NODE_CLIENT = INTEGRATION / "node_client"
MERMAID_PARSER = INTEGRATION / "mermaid_parser"


def tool(name: str, found_in: str) -> str:
    """The path of a program, or a skipped test that says where the program comes from."""
    extra = f"{Path.home() / 'go' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    path = shutil.which(name, path=extra)
    if path is None:
        pytest.skip(f"{name} is not installed ({found_in})")
    return path


async def run(*command: str, cwd: Path | None = None, given: str = "") -> tuple[int, str, str]:
    """Runs a program to its end, on what it is given to read: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(given.encode())
    return process.returncode or 0, output.decode(), errors.decode()


class Grpcurl:
    """grpcurl against one address, plaintext."""

    def __init__(self, address: str) -> None:
        self._program = tool("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest")
        self._address = address

    async def lines(self, *arguments: str) -> list[str]:
        """The output of list or describe."""
        code, output, errors = await run(self._program, "-plaintext", self._address, *arguments)
        assert code == 0, errors
        return output.splitlines()

    async def call(self, method: str, request: dict[str, object]) -> dict[str, object]:
        """A unary call's answer."""
        code, output, errors = await self.attempt(method, request)
        assert code == 0, errors
        answer: dict[str, object] = json.loads(output)
        return answer

    async def attempt(self, method: str, request: dict[str, object]) -> tuple[int, str, str]:
        """A unary call: exit code, answer, and what grpcurl says of the error."""
        return await run(self._program, "-plaintext", "-d", json.dumps(request), self._address, method)


async def node_conversation(address: str, flow: str, *lines: str) -> list[dict[str, object]]:
    """The events that the Node client sees while it says the lines in a new session of the flow."""
    output = await _node(NODE_CLIENT, "@grpc/grpc-js", "converse.mjs", address, flow, *lines)
    return [json.loads(line) for line in output.splitlines()]


async def mermaid_faults(diagrams: list[str]) -> list[str]:
    """What Mermaid's parser has against each diagram; empty for nothing."""
    faults: list[str] = json.loads(
        await _node(MERMAID_PARSER, "mermaid", "parse.mjs", given=json.dumps(diagrams))
    )
    return faults


async def _node(folder: Path, needs: str, *command: str, given: str = "") -> str:
    """What a script of the folder prints; its packages are installed where they are not yet."""
    node = tool("node", "the distribution's nodejs")
    npm = tool("npm", "the distribution's npm")
    if not (folder / "node_modules" / needs).is_dir():
        code, _, errors = await run(npm, "ci", "--silent", cwd=folder)
        assert code == 0, errors
    code, output, errors = await run(node, *command, cwd=folder, given=given)
    assert code == 0, errors
    return output
