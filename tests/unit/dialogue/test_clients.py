"""Errors of peers as the engine sees them: what was certainly not done, and what may have been."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from clawdbot.model_gateway.v1 import generation_pb2, model_gateway_service_pb2_grpc
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_dialogue.clients import tools as tools_module
from clawdbot_dialogue.clients.gateway import GatewayClient
from clawdbot_dialogue.clients.tools import ToolsClient
from clawdbot_dialogue.core.turns.ports import GenerationError, ToolOutcomeUnknown, ToolRefused
from clawdbot_servicekit import deadline
from clawdbot_servicekit.status_details import STATUS_KEY, make_status

from tests.support.conditions import until
from tests.support.deadlines import expired
from tests.support.ports import free_port


class ScriptedPeer(
    tool_service_pb2_grpc.ToolServiceServicer, model_gateway_service_pb2_grpc.ModelGatewayServiceServicer
):
    """A peer that ends every call as the test sets it."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.reason = ""
        self.hangs = False
        self.invoked = 0
        self.listed = 0
        self.ended = asyncio.Event()
        self.names = ["shop.buy"]

    async def _end(self, context):
        if self.hangs:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.ended.set()
        if self.code is not None:
            status = make_status(self.code, self.reason, "A sentence.")
            details = ((STATUS_KEY, status.SerializeToString()),) if self.reason else ()
            await context.abort(self.code, "A sentence.", details)

    async def ListTools(self, request, context):
        self.listed += 1
        start = int(request.page_token or 0)
        tools = [tool_service_pb2.Tool(spec={"name": name}) for name in self.names[start : start + 1]]
        more = start + 1 < len(self.names)
        return tool_service_pb2.ListToolsResponse(tools=tools, next_page_token=str(start + 1) if more else "")

    async def InvokeTool(self, request, context):
        self.invoked += 1
        await self._end(context)
        yield tool_service_pb2.InvokeToolResponse(progress=tool_service_pb2.ToolProgress(message="…"))

    async def StreamGenerate(self, request, context):
        yield generation_pb2.StreamGenerateResponse(text_delta=generation_pb2.TextDelta(text="Half"))
        await self._end(context)


@pytest.fixture
async def peer(monkeypatch):
    monkeypatch.setattr(tools_module, "RETRY_DELAYS", (0.0, 0.0))
    peer, server = ScriptedPeer(), grpc.aio.server()
    tool_service_pb2_grpc.add_ToolServiceServicer_to_server(peer, server)
    model_gateway_service_pb2_grpc.add_ModelGatewayServiceServicer_to_server(peer, server)
    peer.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield peer
    await server.stop(None)


@asynccontextmanager
async def connected(port):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


REQUEST = tool_service_pb2.InvokeToolRequest(tool="shop.buy", request_id="r1")

FAILURES = [
    (grpc.StatusCode.NOT_FOUND, "TOOL_NOT_FOUND", ToolRefused),
    (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", ToolRefused),
    (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED", ToolRefused),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOOL_BUSY", ToolRefused),
    (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", ToolRefused),
    (grpc.StatusCode.UNAVAILABLE, "", ToolOutcomeUnknown),
    (grpc.StatusCode.DEADLINE_EXCEEDED, "TOOL_TIMED_OUT", ToolOutcomeUnknown),
    (grpc.StatusCode.ABORTED, "TOOL_OUTCOME_UNKNOWN", ToolOutcomeUnknown),
    (grpc.StatusCode.INTERNAL, "INTERNAL", ToolOutcomeUnknown),
    (grpc.StatusCode.CANCELLED, "", ToolOutcomeUnknown),
    (grpc.StatusCode.UNKNOWN, "", ToolOutcomeUnknown),
]


@pytest.mark.parametrize(("code", "reason", "kind"), FAILURES)
async def test_a_failed_call_says_whether_the_tool_may_have_run(peer, code, reason, kind):
    peer.code, peer.reason = code, reason
    async with connected(peer.port) as channel:
        with pytest.raises((ToolRefused, ToolOutcomeUnknown)) as caught:
            await ToolsClient(channel).invoke(REQUEST)
    assert type(caught.value) is kind
    assert caught.value.reason == (reason or f"PLUGINS_{code.name}")
    assert caught.value.message.endswith(".")
    # Only a broken connection is retried; the plugin service recognises the call by its request_id.
    assert peer.invoked == (3 if code is grpc.StatusCode.UNAVAILABLE and not reason else 1)


async def test_an_unreachable_plugin_service_has_certainly_run_nothing(monkeypatch):
    monkeypatch.setattr(tools_module, "LOOKUP_TIMEOUT", 0.3)
    async with connected(free_port()) as channel:
        with pytest.raises(ToolRefused) as caught:
            await ToolsClient(channel).invoke(REQUEST)
        assert caught.value.reason == "TOOLS_UNAVAILABLE"
        with pytest.raises(ToolRefused):
            await ToolsClient(channel).tools(["shop.buy"])


async def test_a_call_that_ends_without_a_result_has_an_unknown_outcome(peer):
    async with connected(peer.port) as channel:
        with pytest.raises(ToolOutcomeUnknown) as caught:
            await ToolsClient(channel).invoke(REQUEST)
    assert caught.value.reason == "TOOL_WITHOUT_RESULT"


async def test_cancelling_a_call_cancels_it_at_the_peer(peer):
    peer.hangs = True
    async with connected(peer.port) as channel:
        calling = asyncio.create_task(ToolsClient(channel).invoke(REQUEST))
        await until(lambda: peer.invoked)
        calling.cancel()
        async with asyncio.timeout(20):
            await peer.ended.wait()


async def test_a_call_has_the_turns_deadline(peer):
    peer.hangs = True
    async with connected(peer.port) as channel:

        async def attempt(seconds):
            deadline.enter_deadline(seconds)
            with pytest.raises((ToolRefused, ToolOutcomeUnknown)) as caught:
                await ToolsClient(channel).invoke(REQUEST)
            return caught.value

        error = await expired(attempt, lambda: peer.invoked)
    assert type(error) is ToolOutcomeUnknown
    assert error.reason == "PLUGINS_DEADLINE_EXCEEDED"


async def test_tools_are_listed_page_by_page_and_cached(peer):
    now = 0.0
    peer.names = ["clock.now", "shop.buy"]
    async with connected(peer.port) as channel:
        client = ToolsClient(channel, clock=lambda: now)
        assert set(await client.tools(["shop.buy", "clock.now", "no.such"])) == {"shop.buy", "clock.now"}
        assert peer.listed == 2
        await client.tools(["no.such"])
        assert peer.listed == 2
        now = 1.0
        peer.names.append("no.such")
        await client.tools(["shop.buy"])
        assert peer.listed == 2
        assert set(await client.tools(["no.such"])) == {"no.such"}
        assert peer.listed == 5
        now = 7.0
        await asyncio.gather(*(client.tools(["shop.buy"]) for _ in range(5)))
        assert peer.listed == 8


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "MODEL_NOT_FOUND"),
        (grpc.StatusCode.UNAVAILABLE, "", "GATEWAY_UNAVAILABLE"),
        (grpc.StatusCode.INTERNAL, "INTERNAL", "INTERNAL"),
        (None, "", "GENERATION_CUT_OFF"),
    ],
)
async def test_a_generation_that_does_not_finish_says_why(peer, code, reason, expected):
    peer.code, peer.reason = code, reason
    async with connected(peer.port) as channel:
        taken = []
        with pytest.raises(GenerationError) as caught:
            await GatewayClient(channel).stream(generation_pb2.GenerateRequest(), taken.append)
    assert [each.text_delta.text for each in taken] == ["Half"]
    assert caught.value.reason == expected
    assert caught.value.message.endswith(".")


async def test_cancelling_a_stream_cancels_the_generation_at_the_peer(peer):
    peer.hangs = True
    taken = asyncio.Queue()
    async with connected(peer.port) as channel:
        stream = GatewayClient(channel).stream(generation_pb2.GenerateRequest(), taken.put_nowait)
        call = asyncio.create_task(stream)
        assert (await taken.get()).text_delta.text == "Half"
        call.cancel()
        async with asyncio.timeout(20):
            await peer.ended.wait()
