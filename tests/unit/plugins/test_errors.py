"""Every way in which InvokeTool can fail has its status, its reason and a sentence, over the wire."""

from __future__ import annotations

import asyncio
import math

import grpc
import pytest
from clawdbot.plugins.v1 import tool_service_pb2 as wire
from clawdbot_plugin_sdk import Plugin, Refusal
from clawdbot_servicekit.error_table import remote_error

from tests.support.plugin_service import serving


class Trial:
    def __init__(self):
        self.plugin = plugin = Plugin("trial", version="1.0.0")
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()
        self.refusal = self.broken = None

        @plugin.tool(timeout="50ms")
        async def late() -> None:
            """Be late."""
            await asyncio.Event().wait()

        @plugin.tool(effect="once", max_in_flight=1)
        async def hang(number: int = 0) -> None:
            """Never end."""
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()

        @plugin.tool(effect="once")
        async def take(amount: float, note: str = "") -> float:
            """Take money."""
            return amount

        @plugin.gate("before_tool")
        async def gate(subject, ctx):
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


def told(fault):
    assert fault.domain == "clawdbot.dev"
    return fault.code, fault.reason, fault.message


async def test_an_unknown_tool(client):
    fault = await client.fault("trial.takes", amount=1)
    assert told(fault) == (
        "NOT_FOUND",
        "TOOL_NOT_FOUND",
        "There is no tool trial.takes. Did you mean trial.take?",
    )


async def test_an_unknown_plugin(client):
    fault = await client.fault("trail.take", amount=1)
    assert told(fault) == ("NOT_FOUND", "PLUGIN_NOT_FOUND", "There is no plugin trail. Did you mean trial?")


async def test_arguments_that_do_not_fit(client):
    fault = await client.fault("trial.take", amout=1)
    assert fault.code == "INVALID_ARGUMENT"
    assert {(each.field, each.description) for each in fault.violations} == {
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
async def test_fields_that_do_not_fit(client, request_, field):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.tools.InvokeTool(request_).read()
    fault = remote_error(caught.value)
    assert (fault.code, [each.field for each in fault.violations]) == ("INVALID_ARGUMENT", [field])


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_a_number_that_is_none(client, number):
    fault = await client.fault("trial.take", amount=number)
    assert (fault.code, fault.violations[0].field) == ("INVALID_ARGUMENT", "arguments.amount")


async def test_a_value_nested_as_deeply_as_the_wire_carries(client):
    """Protobuf itself stops at a hundred messages within each other; this is below that."""
    deep: object = 1
    for _ in range(25):
        deep = {"x": deep}
    fault = await client.fault("trial.take", amount=deep)
    assert fault.code == "INVALID_ARGUMENT"


async def test_a_value_nested_more_deeply_than_the_wire_carries(served):
    """Written by hand: the library would not write it. The call fails, and the service goes on."""
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
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


async def test_a_huge_argument_that_fits_is_taken_and_one_that_does_not_is_not_repeated(client):
    assert not (await client.result("trial.take", amount=1, note="x" * 3_000_000)).is_error
    fault = await client.fault("trial.take", amount="x" * 3_000_000)
    assert fault.code == "INVALID_ARGUMENT"
    assert len(fault.message) < 1000


async def test_a_message_above_the_servers_limit(client):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.events("trial.take", amount=1, note="x" * 5_000_000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_tool_that_is_late(client):
    assert told(await client.fault("trial.late")) == (
        "DEADLINE_EXCEEDED",
        "TOOL_TIMED_OUT",
        "The tool trial.late took longer than 0.05 s and was cancelled.",
    )


async def test_a_tool_that_is_busy(client, trial):
    first = client.call("trial.hang")
    await trial.begun.wait()
    fault = await client.fault("trial.hang")
    assert told(fault) == (
        "RESOURCE_EXHAUSTED",
        "TOOL_BUSY",
        "The tool trial.hang is busy: it takes at most 1 at once.",
    )
    assert fault.retry_after == 1.0
    first.cancel()


async def test_a_gate_that_says_no(client, trial):
    trial.refusal = Refusal("NOT_TODAY", "We are closed today.")
    fault = await client.fault("trial.take", amount=1)
    assert told(fault) == ("PERMISSION_DENIED", "NOT_TODAY", "We are closed today.")
    assert fault.metadata == {"plugin": "trial"}
    assert fault.retry_after is None


async def test_a_gate_that_says_when_to_come_again(client, trial):
    trial.refusal = Refusal("RATE_LIMITED", "Slowly.", retry_after=2.5)
    fault = await client.fault("trial.take", amount=1)
    assert told(fault) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Slowly.")
    assert fault.retry_after == 2.5


async def test_a_hook_that_must_not_fail(client, trial):
    trial.broken = RuntimeError("hunter2")
    fault = await client.fault("trial.take", amount=1)
    assert told(fault) == (
        "UNAVAILABLE",
        "HOOK_FAILED",
        "A hook of trial at before_tool failed, so that this was not done.",
    )
    assert fault.retry_after == 1.0


async def test_a_request_id_that_was_used_for_something_else(client):
    await client.result("trial.take", "r-1", amount=1)
    assert told(await client.fault("trial.take", "r-1", amount=2)) == (
        "ALREADY_EXISTS",
        "REQUEST_ID_REUSED",
        "The request id r-1 was used for trial.take with other arguments.",
    )


async def test_a_call_whose_outcome_is_not_known(client, trial):
    call = client.call("trial.hang", "r-1")
    await trial.begun.wait()
    call.cancel()
    await trial.cancelled.wait()
    fault = await client.fault("trial.hang", "r-1")
    assert (fault.code, fault.reason) == ("ABORTED", "TOOL_OUTCOME_UNKNOWN")
    assert "may have done its work" in fault.message
