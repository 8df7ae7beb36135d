"""`clawdbot models …` as commands: from the command line to an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from clawdbot_servicekit.errors import RemoteError, StartupError

from clawdbot_cli.client_settings import api_key
from clawdbot_cli.connection import GATEWAY, Whereabouts, reached
from clawdbot_cli.error_messages import sentence
from clawdbot_cli.models.client import ModelClient
from clawdbot_cli.models.model_check import Check, Trial
from clawdbot_cli.models.report import Report

FAILED: Final = 1
INTERRUPTED: Final = 130
"""Exit codes; the latter as shells have it for SIGINT."""

TOO_LARGE: Final = "Received message larger than max"
"""What gRPC itself says of a message over the server's limit."""

Work = Callable[[ModelClient, Report], Awaitable[int]]


def list_models(where: Whereabouts, key_file: Path | None) -> int:
    """Shows aliases, models and backends; the exit code.

    Raises:
        StartupError: for what the person can mend.
    """

    async def work(client: ModelClient, report: Report) -> int:
        report.models(await client.models(), await client.backends())
        return 0

    return _run(where, key_file, work)


def try_model(where: Whereabouts, key_file: Path | None, model: str, *, strict: bool = False) -> int:
    """Tries a model; raises as list_models, also for a model that is not there.

    Args:
        where: where the gateway is.
        key_file: the caller's key.
        model: alias or target.
        strict: whether a model that cannot call tools or keep to JSON fails, as one that does not answer.

    Returns:
        FAILED for a model that fails, else 0.
    """

    async def work(client: ModelClient, report: Report) -> int:
        trial = Trial(client, model)
        try:
            check, reply = await trial.answers()
        except RemoteError as fault:
            if fault.reason == "MODEL_NOT_FOUND" or not fault.domain:
                raise
            told = f"{fault.message} ({fault.reason})"
            report.check(Check("it answers", passed=False, told=told))
            return FAILED
        report.note(f"{model} is {reply.target}.")
        report.check(check)
        if not check.passed:
            return FAILED
        passed = True
        for able in (trial.calls_a_tool, trial.keeps_to_a_schema):
            found = await able()
            report.check(found)
            passed = passed and found.passed
        return FAILED if strict and not passed else 0

    return _run(where, key_file, work)


def count_tokens(where: Whereabouts, key_file: Path | None, file: str, model: str) -> int:
    """Says how long a file is for a model; raises as list_models, also for a file that is no text."""
    text = _text(file)

    async def work(client: ModelClient, report: Report) -> int:
        try:
            report.count(await client.count(text, model), len(text))
        except RemoteError as fault:
            if TOO_LARGE not in fault.message:
                raise
            raise StartupError(
                f"{file}: this is more than the server takes at once; raise server.max_message."
            ) from None
        return 0

    return _run(where, key_file, work)


def _run(where: Whereabouts, key_file: Path | None, work: Work) -> int:
    where.check()
    try:
        return asyncio.run(_connected(where, key_file, work))
    except KeyboardInterrupt:
        return INTERRUPTED


async def _connected(where: Whereabouts, key_file: Path | None, work: Work) -> int:
    key, report = api_key(key_file), Report.standard()
    async with reached(where, report.note, GATEWAY) as connection:
        if key and connection.in_the_clear:
            report.note(f"The key travels unencrypted to {connection.where}.")
        try:
            return await work(ModelClient(connection.channel, key), report)
        except RemoteError as fault:
            raise StartupError(sentence(fault, connection.where)) from None


def _text(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
        return content.decode()
    except UnicodeDecodeError:
        raise StartupError(f"{file}: this is no text in UTF-8.") from None
    except OSError as error:
        raise StartupError(f"{file}: cannot be read: {error.strerror}.") from None
