"""The `clawdbot models` subcommands: each takes its options and returns an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.model_admin_service_pb2 import GetUsageRequest
from clawdbot_servicekit.errors import RemoteError, StartupError

from clawdbot_cli.client_settings import api_key
from clawdbot_cli.connection import GATEWAY, ConnectionOptions, connect_or_start
from clawdbot_cli.error_messages import error_message
from clawdbot_cli.models.client import PAGE_SIZE, ModelClient
from clawdbot_cli.models.model_check import REPLY, CheckResult, ModelCheck
from clawdbot_cli.models.report import Report
from clawdbot_cli.models.top import Top

FAILED: Final = 1
INTERRUPTED: Final = 130
"""Exit codes; the latter is the shells' code for SIGINT."""

DIMENSIONS: Final = {
    "day": admin.USAGE_DIMENSION_DAY,
    "tenant": admin.USAGE_DIMENSION_TENANT,
    "key": admin.USAGE_DIMENSION_KEY,
    "model": admin.USAGE_DIMENSION_MODEL,
}
"""What usage can be added up by."""

MESSAGE_TOO_LARGE: Final = "Received message larger than max"
"""Part of gRPC's own error for a message over the server's limit."""

Action = Callable[[ModelClient, Report], Awaitable[int]]


def list_models(options: ConnectionOptions, key_file: Path | None) -> int:
    """Prints aliases, models and backends, and returns the exit code.

    Raises:
        StartupError: for what the person can fix.
    """

    async def action(client: ModelClient, report: Report) -> int:
        report.models(await client.list_models(), await client.list_backends())
        return 0

    return _run(options, key_file, action)


def show_top(options: ConnectionOptions, key_file: Path | None, interval: float, *, once: bool) -> int:
    """Shows the backends' load until Ctrl-C, and returns the exit code; raises as list_models.

    Args:
        options: where the gateway is.
        key_file: the caller's key.
        interval: seconds between two looks.
        once: whether to print the view once; so it does where stdout is not a terminal.
    """

    async def action(client: ModelClient, report: Report) -> int:
        await Top(client, report.console, interval).run(once=once)
        return 0

    code = _run(options, key_file, action)
    return 0 if code == INTERRUPTED else code


def check_model(
    options: ConnectionOptions, key_file: Path | None, model: str, *, strict: bool = False
) -> int:
    """Tests a model and prints the results; raises as list_models, also for an unknown model.

    Args:
        options: where the gateway is.
        key_file: the caller's key.
        model: alias or target.
        strict: whether a model that calls no tool, or does not follow the schema, also fails.

    Returns:
        FAILED if the model fails, else 0.
    """

    async def action(client: ModelClient, report: Report) -> int:
        checks = ModelCheck(client, model)
        try:
            result, reply = await checks.check_reply()
        except RemoteError as error:
            if error.reason == "MODEL_NOT_FOUND" or not error.domain:
                raise
            detail = f"{error.message} ({error.reason})"
            report.check(CheckResult(REPLY, passed=False, detail=detail))
            return FAILED
        report.note(f"{model} is {reply.target}.")
        report.check(result)
        if not result.passed:
            return FAILED
        passed = True
        for check in (checks.check_tool_call, checks.check_json_schema):
            result = await check()
            report.check(result)
            passed = passed and result.passed
        return FAILED if strict and not passed else 0

    return _run(options, key_file, action)


def count_tokens(options: ConnectionOptions, key_file: Path | None, file: str, model: str) -> int:
    """Prints the token count of a file; raises as list_models, also for a file that is not text."""
    text = _read_text(file)

    async def action(client: ModelClient, report: Report) -> int:
        try:
            report.token_count(await client.count_tokens(text, model), len(text))
        except RemoteError as error:
            if MESSAGE_TOO_LARGE not in error.message:
                raise
            raise StartupError(
                f"{file}: too large for one request. Raise server.max_message on the server."
            ) from None
        return 0

    return _run(options, key_file, action)


def show_usage(
    options: ConnectionOptions, key_file: Path | None, group_by: Sequence[str], first_day: str, last_day: str
) -> int:
    """Prints what was used, and returns the exit code; raises as list_models, also for an invalid day.

    Args:
        options: where the gateway is.
        key_file: the caller's key, which needs the scope models.admin.
        group_by: day, tenant, key and model.
        first_day: in UTC: "2026-11-30"; empty: 30 days before the last day.
        last_day: the same; empty: today.
    """
    unknown = [each for each in group_by if each not in DIMENSIONS]
    if unknown:
        raise StartupError(f"--by {unknown[0]}: use {', '.join(DIMENSIONS)}, or several of them.")
    request = GetUsageRequest(
        first_day=first_day,
        last_day=last_day,
        group_by=[DIMENSIONS[each] for each in group_by],
        page_size=PAGE_SIZE,
    )

    async def action(client: ModelClient, report: Report) -> int:
        report.usage(await client.usage(request), group_by)
        return 0

    return _run(options, key_file, action)


def _run(options: ConnectionOptions, key_file: Path | None, action: Action) -> int:
    options.check()
    try:
        return asyncio.run(_connect_and_run(options, key_file, action))
    except KeyboardInterrupt:
        return INTERRUPTED


async def _connect_and_run(options: ConnectionOptions, key_file: Path | None, action: Action) -> int:
    key, report = api_key(key_file), Report.standard()
    async with connect_or_start(options, report.note, GATEWAY) as connection:
        if key and connection.unencrypted:
            report.note(f"Warning: the API key is sent to {connection.display_name} without encryption.")
        try:
            return await action(ModelClient(connection.channel, key, connection.display_name), report)
        except RemoteError as error:
            raise StartupError(error_message(error, connection.display_name)) from None


def _read_text(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
        return content.decode()
    except UnicodeDecodeError:
        raise StartupError(f"{file}: not UTF-8 text.") from None
    except OSError as error:
        raise StartupError(f"{file}: cannot be read: {error.strerror}.") from None
