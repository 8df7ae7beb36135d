"""External programs: grpcurl, Go, Node with @grpc/grpc-js, Mermaid's parser.

If one is missing, its tests are skipped and say what to install.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).resolve().parents[1] / "integration"
GO_CLIENT = INTEGRATION / "go_client"
NODE_CLIENT = INTEGRATION / "node_client"
MERMAID_PARSER = INTEGRATION / "mermaid_parser"


def tool(name: str, found_in: str) -> str:
    """The path of a program; skips the test if it is not installed."""
    extra = f"{Path.home() / 'go' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    path = shutil.which(name, path=extra)
    if path is None:
        pytest.skip(f"{name} is not installed ({found_in})")
    return path


async def run(
    *command: str, cwd: Path | None = None, given: str = "", environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Runs a program to its end, with `given` as standard input: exit code, stdout, stderr.

    Args:
        command: the program and its arguments.
        cwd: where it runs.
        given: its standard input.
        environment: variables in addition to the tests' own.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(given.encode())
    return process.returncode or 0, output.decode(), errors.decode()


class Grpcurl:
    """grpcurl with one address, without TLS."""

    def __init__(self, address: str) -> None:
        self._program = tool("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest")
        self._address = address

    async def lines(self, *arguments: str) -> list[str]:
        """The lines that `list` or `describe` prints."""
        code, output, errors = await run(self._program, "-plaintext", self._address, *arguments)
        assert code == 0, errors
        return output.splitlines()

    async def call(self, method: str, request: dict[str, object]) -> dict[str, object]:
        """The response of a unary call."""
        code, output, errors = await self.attempt(method, request)
        assert code == 0, errors
        response: dict[str, object] = json.loads(output)
        return response

    async def attempt(self, method: str, request: dict[str, object]) -> tuple[int, str, str]:
        """A unary call that may fail: exit code, response, and grpcurl's error message."""
        return await run(self._program, "-plaintext", "-d", json.dumps(request), self._address, method)


async def node_conversation(address: str, flow: str, *lines: str) -> list[dict[str, object]]:
    """The events that the Node client receives for the messages in a new session of the flow."""
    output = await _node(NODE_CLIENT, "@grpc/grpc-js", "converse.mjs", address, flow, *lines)
    return [json.loads(line) for line in output.splitlines()]


async def mermaid_errors(diagrams: list[str]) -> list[str]:
    """The error of Mermaid's parser for each diagram; empty for a valid one."""
    errors: list[str] = json.loads(
        await _node(MERMAID_PARSER, "mermaid", "parse.mjs", given=json.dumps(diagrams))
    )
    return errors


async def _node(folder: Path, needs: str, *command: str, given: str = "") -> str:
    """The output of a script in the folder; installs its packages if they are missing."""
    node = tool("node", "the distribution's nodejs")
    npm = tool("npm", "the distribution's npm")
    if not (folder / "node_modules" / needs).is_dir():
        code, _, errors = await run(npm, "ci", "--silent", cwd=folder)
        assert code == 0, errors
    code, output, errors = await run(node, *command, cwd=folder, given=given)
    assert code == 0, errors
    return output
