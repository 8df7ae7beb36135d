"""A secret in a tool's arguments is never written: neither to the log nor to the audit log."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
import warnings

import grpc.aio
import pytest
import structlog
from clawdbot.plugins.v1 import hook_service_pb2 as hook_wire
from clawdbot_plugin_sdk import Plugin, ToolError
from clawdbot_servicekit import logs
from clawdbot_servicekit.redaction import Redactor
from clawdbot_servicekit.settings.shared import TelemetrySettings

from tests.support.plugin_service import serving

CANARY = "correct-horse-battery"
"""No redaction pattern matches it: it stays out of the log only if arguments do."""


@pytest.fixture
def stream():
    """Everything that is logged at any level, in the format of a real process."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    telemetry = TelemetrySettings.model_validate({"log_format": "json", "log_level": "debug"})
    logs.configure(telemetry, Redactor(), stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks


def trial():
    plugin = Plugin("trial", version="1.0.0")

    @plugin.tool(effect="once", timeout="100ms")
    async def use(secret: str, how: str = "well") -> str:
        """Use a secret."""
        if how == "badly":
            raise ToolError(f"{secret} does not work.")
        if how == "falsely":
            return {"secret": secret}
        if how == "wrongly":
            raise RuntimeError(f"cannot use {secret}") from ValueError(secret)
        if how == "for too long":
            await asyncio.Event().wait()
        if how == "too much":
            return secret * 100_000
        return secret

    @plugin.gate("before_tool")
    async def gate(subject, ctx):
        return None

    @plugin.modify("before_generate")
    async def modify(payload, subject, ctx):
        raise ValueError(f"cannot be changed: {payload}")

    @plugin.observe("turn_done")
    async def observe(subject, ctx):
        raise ValueError(f"cannot be observed: {subject}")

    return plugin


async def test_a_secret_in_the_arguments_is_never_written(tmp_path, stream):
    async with serving(tmp_path, trial(), "audit_log", "rate_limiter") as served:
        client = served.client
        for how in ("well", "badly", "falsely", "wrongly", "for too long", "too much"):
            await client.attempt("trial.use", how, secret=CANARY, how=how)
        await client.error("trial.use", "well", secret=f"{CANARY} of another kind")
        await client.error("trial.use", secret=CANARY, **{CANARY: 1})
        await client.error("trial.use", secret={"deep": CANARY})
        await client.error("trial.used", secret=CANARY)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            await client.result("calculator.evaluate", expression=f"1if '{CANARY}' else 2")
            await client.result("calculator.evaluate", expression=f"'\\d{CANARY}'")
        await client.result("clock.now", time_zone=CANARY)
        booking = {"party_size": 2, "date": "2099-01-01", "time": "19:00"}
        await client.result("tables.reserve", name=CANARY, **booking)
        request = hook_wire.ModifyRequest(subject=hook_wire.HookSubject(point="before_generate"))
        request.payload.update({"prompt": CANARY})
        await client.hooks.Modify(request)
        for point in ("turn_done", "generation_done", "session_ended", "tool_done"):
            await client.observe(point, {"prompt": CANARY, "reply": {"text": CANARY}})
        with pytest.raises(grpc.aio.AioRpcError):
            await client.observe("turn_done", {"prompt": float("nan"), "other": CANARY})
        await served.host.stop(0)
    logged = stream.getvalue()
    assert logged.count("clawdbot.plugins.v1.ToolService/InvokeTool") >= 12
    assert logged.count("tool_failed") == 2
    assert logged.count("hook_failed") == 2
    assert CANARY not in logged
    audit = "".join(path.read_text() for path in (tmp_path / "plugins" / "audit_log").glob("audit-*"))
    assert audit.count("\n") >= 12
    assert CANARY not in audit
