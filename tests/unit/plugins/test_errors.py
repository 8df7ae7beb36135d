"""Every error of InvokeTool has its status, its reason and its message on the wire."""

from __future__ import annotations

import asyncio
import math

import grpc
import pytest
from clawdbot.plugins.v1 import tool_service_pb2 as wire
from clawdbot_plugin_sdk import Plugin, Refusal, Unavailable
from clawdbot_servicekit.error_table import remote_error

from tests.support.plugin_service import serving


class Trial:
    def __init__(self):
        self.plugin = plugin = Plugin("trial", version="1.0.0")
        self.started, self.cancelled = asyncio.Event(), asyncio.Event()
        self.refusal = self.broken = self.gate_error = self.tool_error = None

        @plugin.tool(timeout="50ms")
        async def slow() -> None:
            """Exceed the timeout."""
            await asyncio.Event().wait()

        @plugin.tool(effect="once", max_in_flight=1)
        async def hang(number: int = 0) -> None:
            """Never end."""
            self.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()

        @plugin.tool(effect="once")
        async def take(amount: float, note: str = "") -> float:
            """Take money."""
            if self.tool_error:
                raise self.tool_error
            return amount

        @plugin.gate("before_tool")
        async def gate(subject, ctx):
            if self.gate_error:
                raise self.gate_error
            return self.refusal

        @plugin.modify("before_tool", on_failure="closed")
        async def modify(payload, subject, ctx):
            if self.broken:
                raise self.broken


@pytest.fixture
def trial():
    return Trial()


@pytest.fixture
async def served(trial, tmp_path):
    async with serving(tmp_path, trial.plugin) as served:
        yield served


@pytest.fixture
def client(served):
    return served.client


def parts(error):
    assert error.domain == "clawdbot.dev"
    return error.code, error.reason, error.message


async def test_an_unknown_tool(client):
    error = await client.error("trial.takes", amount=1)
    assert parts(error) == (
        "NOT_FOUND",
        "TOOL_NOT_FOUND",
        "There is no tool trial.takes. Did you mean trial.take?",
    )


async def test_an_unknown_plugin(client):
    error = await client.error("trail.take", amount=1)
    assert parts(error) == ("NOT_FOUND", "PLUGIN_NOT_FOUND", "There is no plugin trail. Did you mean trial?")


async def test_invalid_arguments(client):
    error = await client.error("trial.take", amout=1)
    assert error.code == "INVALID_ARGUMENT"
    assert {(each.field, each.description) for each in error.violations} == {
        ("arguments.amount", "is required."),
        ("arguments.amout", "does not exist. Did you mean amount?"),
    }


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (wire.InvokeToolRequest(), "tool"),
        (wire.InvokeToolRequest(tool="trial.take", request_id="r" * 201), "request_id"),
        (
            wire.InvokeToolRequest(tool="trial.take", context=wire.InvocationContext(time_zone="Mars/Base")),
            "context.time_zone",
        ),
        (
            wire.InvokeToolRequest(
                tool="trial.take", context=wire.InvocationContext(time_zone="../etc/passwd")
            ),
            "context.time_zone",
        ),
    ],
)
async def test_invalid_fields(client, request_, field):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.tools.InvokeTool(request_).read()
    error = remote_error(caught.value)
    assert (error.code, [each.field for each in error.violations]) == ("INVALID_ARGUMENT", [field])


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_a_number_that_is_not_finite(client, number):
    error = await client.error("trial.take", amount=number)
    assert (error.code, error.violations[0].field) == ("INVALID_ARGUMENT", "arguments.amount")


async def test_a_value_nested_as_deeply_as_the_wire_allows(client):
    """Protobuf itself allows a hundred nested messages; this is below that."""
    deep: object = 1
    for _ in range(25):
        deep = {"x": deep}
    error = await client.error("trial.take", amount=deep)
    assert error.code == "INVALID_ARGUMENT"


async def test_a_value_nested_more_deeply_than_the_wire_allows(served):
    """Encoded by hand, because the library refuses to. The call fails, and the service keeps running."""
    value = b"\x11" + b"\0" * 8  # number_value
    for _ in range(200):
        entry = b"\x0a\x01x" + b"\x12" + _varint(len(value)) + value
        struct = b"\x0a" + _varint(len(entry)) + entry
        value = b"\x2a" + _varint(len(struct)) + struct
    entry = b"\x0a\x06amount" + b"\x12" + _varint(len(value)) + value
    arguments = b"\x0a" + _varint(len(entry)) + entry
    raw = b"\x0a\x0atrial.take" + b"\x12" + _varint(len(arguments)) + arguments
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.channel.unary_stream("/clawdbot.plugins.v1.ToolService/InvokeTool")(raw).read()
    assert remote_error(caught.value).reason == "MALFORMED_MESSAGE"
    assert (await served.client.tools.ListTools(wire.ListToolsRequest())).tools


def _varint(number):
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


async def test_a_huge_valid_argument_is_accepted_and_an_invalid_one_is_not_quoted(client):
    assert not (await client.result("trial.take", amount=1, note="x" * 3_000_000)).is_error
    error = await client.error("trial.take", amount="x" * 3_000_000)
    assert error.code == "INVALID_ARGUMENT"
    assert len(error.message) < 1000


async def test_a_message_above_the_servers_limit(client):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.events("trial.take", amount=1, note="x" * 5_000_000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_tool_that_exceeds_its_timeout(client):
    assert parts(await client.error("trial.slow")) == (
        "DEADLINE_EXCEEDED",
        "TOOL_TIMED_OUT",
        "The tool trial.slow took longer than 0.05 s and was cancelled.",
    )


async def test_a_tool_that_is_busy(client, trial):
    first = client.call("trial.hang")
    await trial.started.wait()
    error = await client.error("trial.hang")
    assert parts(error) == (
        "RESOURCE_EXHAUSTED",
        "TOOL_BUSY",
        "The tool trial.hang is busy: at most 1 concurrent calls are allowed.",
    )
    assert error.retry_after == 1.0
    first.cancel()


async def test_a_gate_that_refuses(client, trial):
    trial.refusal = Refusal("NOT_TODAY", "We are closed today.")
    error = await client.error("trial.take", amount=1)
    assert parts(error) == ("PERMISSION_DENIED", "NOT_TODAY", "We are closed today.")
    assert error.metadata == {"plugin": "trial"}
    assert error.retry_after is None


async def test_a_gate_that_refuses_temporarily(client, trial):
    trial.refusal = Refusal("RATE_LIMITED", "Slowly.", retry_after=2.5)
    error = await client.error("trial.take", amount=1)
    assert parts(error) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Slowly.")
    assert error.retry_after == 2.5


async def test_a_modify_hook_that_fails_closed(client, trial):
    trial.broken = RuntimeError("hunter2")
    error = await client.error("trial.take", amount=1)
    assert parts(error) == (
        "UNAVAILABLE",
        "HOOK_FAILED",
        "A hook of trial at before_tool failed, so this was not done.",
    )
    assert error.retry_after == 1.0


async def test_a_gate_whose_own_store_fails_is_no_refusal(client, trial):
    trial.gate_error = Unavailable("its disk is full")
    error = await client.error("trial.take", amount=1)
    assert parts(error)[:2] == ("UNAVAILABLE", "HOOK_FAILED")
    assert error.retry_after == 1.0


async def test_a_once_call_that_found_its_store_failing_runs_when_it_is_sent_again(client, trial):
    trial.tool_error = Unavailable("its disk is full at /secret/place")
    error = await client.error("trial.take", "r-2", amount=1)
    assert parts(error) == (
        "UNAVAILABLE",
        "TOOL_UNAVAILABLE",
        "The tool trial.take cannot do its work for now; it had no effect.",
    )
    assert error.retry_after == 1.0
    trial.tool_error = None
    again = await client.result("trial.take", "r-2", amount=1)
    assert not again.is_error


async def test_a_request_id_that_was_used_with_other_arguments(client):
    await client.result("trial.take", "r-1", amount=1)
    assert parts(await client.error("trial.take", "r-1", amount=2)) == (
        "ALREADY_EXISTS",
        "REQUEST_ID_REUSED",
        "The request id r-1 was already used for trial.take with other arguments.",
    )


async def test_a_call_whose_outcome_is_unknown(client, trial):
    call = client.call("trial.hang", "r-1")
    await trial.started.wait()
    call.cancel()
    await trial.cancelled.wait()
    error = await client.error("trial.hang", "r-1")
    assert (error.code, error.reason) == ("ABORTED", "TOOL_OUTCOME_UNKNOWN")
    assert "may have had its effect" in error.message
