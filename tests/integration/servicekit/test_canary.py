"""Secrets are in no line of the log, whichever way they came in."""

from __future__ import annotations

import io
import json

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit import logs
from clawdbot_servicekit.redaction import Redactor, secrets_of
from clawdbot_servicekit.settings.shared import TelemetrySettings
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.hosts import hosting, trial_settings
from tests.support.logging_state import logging_restored
from tests.support.trial_service import SERVICE, invoke

SECRET = "canary-7c1e0b9a55"
TOKEN = f"{SECRET}-service-token"
AUTH = {"keys": [{"id": "ann", "tenant": "acme", "key": f"{SECRET}-key-of-ann"}], "service_token": TOKEN}


@pytest.fixture
def written(tmp_path):
    """Everything that is logged, at level debug and with all content: only redaction is between it and us."""
    stream = io.StringIO()
    redactor = Redactor(secrets_of(trial_settings(tmp_path, auth=AUTH)))
    with logging_restored():
        telemetry = TelemetrySettings(log_level="debug", log_format="json", log_content=True)
        logs.configure(telemetry, redactor, stream)
        yield stream


async def status_of(call):
    """The name of the call's status, with its details if they contain the secret."""
    try:
        if isinstance(call, grpc.aio.UnaryUnaryCall):
            await call
        else:
            [event async for event in call]
    except grpc.aio.AioRpcError as error:
        details = error.details() or ""
        return f"{error.code().name}: {details}" if SECRET in details else error.code().name
    return "OK"


async def test_a_secret_sent_in_every_way_is_in_no_line(tmp_path, written):
    key, wrong = f"{SECRET}-key-of-ann", f"{SECRET}-wrong"
    good = (("x-api-key", key),)
    async with hosting(tmp_path, auth=AUTH) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        raw = channel.unary_unary(f"/{SERVICE}/ListTools")
        listing = tool_service_pb2.ListToolsRequest(plugin=SECRET)
        health = health_pb2_grpc.HealthStub(channel)
        as_service = (("authorization", f"Bearer {TOKEN}"), ("x-clawdbot-tenant", "acme"))
        ended = [
            await status_of(stub.ListTools(listing, metadata=good)),
            await status_of(stub.ListTools(listing, metadata=(("authorization", f"Bearer {key}"),))),
            await status_of(stub.ListTools(listing, metadata=as_service)),
            await status_of(stub.ListTools(listing, metadata=(("x-api-key", wrong),))),
            await status_of(stub.ListTools(listing, metadata=(("authorization", f"Basic {wrong}"),))),
            await status_of(
                stub.ListTools(listing, metadata=(*good, ("x-mine", SECRET), ("cookie", SECRET)))
            ),
            await status_of(stub.InvokeTool(invoke("fail", text=key), metadata=good)),
            await status_of(stub.InvokeTool(invoke(SECRET, ticks=1), metadata=good)),
            await status_of(
                stub.InvokeTool(invoke("fail", text="a@example.com 4111 1111 1111 1111"), metadata=good)
            ),
            await status_of(raw(f"\xff{SECRET}".encode(), metadata=good)),
            await status_of(channel.unary_unary(f"/{SERVICE}/{SECRET}")(b"", metadata=good)),
            await status_of(health.Check(health_pb2.HealthCheckRequest(service=SECRET))),
        ]
    assert ended == [
        *("OK", "OK", "OK", "UNAUTHENTICATED", "UNAUTHENTICATED", "OK"),
        *("INTERNAL", "OK", "INTERNAL", "INVALID_ARGUMENT", "UNIMPLEMENTED", "NOT_FOUND"),
    ]
    text = written.getvalue()
    for secret in (SECRET, "a@example.com", "4111 1111"):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert len([line for line in lines if line["event"] == "call"]) == 10
    # The secrets were redacted: the log is not just empty.
    assert len([line for line in lines if line["event"] == "unexpected_error"]) == 2
    assert "[redacted]" in text
