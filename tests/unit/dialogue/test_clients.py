"""Peers that are away, slow or odd, as the engine hears of them: what was surely not done, and the rest."""

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
from clawdbot_servicekit.status_details import STATUS_KEY, status_of

from tests.support.ports import free_port


class Far(
    tool_service_pb2_grpc.ToolServiceServicer, model_gateway_service_pb2_grpc.ModelGatewayServiceServicer
):
    """Ends every call as it is told to."""

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
            status = status_of(self.code, self.reason, "A sentence.")
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
async def far(monkeypatch):
    monkeypatch.setattr(tools_module, "RETRY_DELAYS", (0.0, 0.0))
    monkeypatch.setattr(tools_module, "LOOKUP_TIMEOUT", 0.3)
    far, server = Far(), grpc.aio.server()
    tool_service_pb2_grpc.add_ToolServiceServicer_to_server(far, server)
    model_gateway_service_pb2_grpc.add_ModelGatewayServiceServicer_to_server(far, server)
    far.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield far
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
async def test_a_failed_call_says_whether_the_tool_may_have_run(far, code, reason, kind):
    far.code, far.reason = code, reason
    async with connected(far.port) as channel:
        with pytest.raises((ToolRefused, ToolOutcomeUnknown)) as caught:
            await ToolsClient(channel).invoke(REQUEST)
    assert type(caught.value) is kind
    assert caught.value.reason == (reason or f"PLUGINS_{code.name}")
    assert caught.value.message.endswith(".")
    # Only a broken connection is worth another try; the plugin service knows the call by its request_id.
    assert far.invoked == (3 if code is grpc.StatusCode.UNAVAILABLE and not reason else 1)


async def test_a_plugin_service_that_is_not_there_has_certainly_run_nothing(far):
    async with connected(free_port()) as channel:
        with pytest.raises(ToolRefused) as caught:
            await ToolsClient(channel).invoke(REQUEST)
        assert caught.value.reason == "TOOLS_UNAVAILABLE"
        with pytest.raises(ToolRefused):
            await ToolsClient(channel).tools(["shop.buy"])


async def test_a_call_that_ends_without_a_result_is_lost(far):
    async with connected(far.port) as channel:
        with pytest.raises(ToolOutcomeUnknown) as caught:
            await ToolsClient(channel).invoke(REQUEST)
    assert caught.value.reason == "TOOL_WITHOUT_RESULT"


async def test_cancelling_a_call_ends_it_at_the_far_end(far):
    far.hangs = True
    async with connected(far.port) as channel:
        calling = asyncio.create_task(ToolsClient(channel).invoke(REQUEST))
        while not far.invoked:  # noqa: ASYNC110 - the far end sets no event
            await asyncio.sleep(0.005)
        calling.cancel()
        async with asyncio.timeout(5):
            await far.ended.wait()


async def test_a_calls_deadline_is_the_turns(far):
    far.hangs = True
    async with connected(far.port) as channel:
        deadline.enter_deadline(0.3)
        with pytest.raises(ToolOutcomeUnknown) as caught:
            await ToolsClient(channel).invoke(REQUEST)
    assert caught.value.reason == "PLUGINS_DEADLINE_EXCEEDED"


async def test_tools_are_looked_up_page_by_page_and_now_and_then(far):
    now = 0.0
    far.names = ["clock.now", "shop.buy"]
    async with connected(far.port) as channel:
        client = ToolsClient(channel, clock=lambda: now)
        assert set(await client.tools(["shop.buy", "clock.now", "no.such"])) == {"shop.buy", "clock.now"}
        assert far.listed == 2
        await client.tools(["no.such"])
        assert far.listed == 2
        now = 1.0
        far.names.append("no.such")
        await client.tools(["shop.buy"])
        assert far.listed == 2
        assert set(await client.tools(["no.such"])) == {"no.such"}
        assert far.listed == 5
        now = 7.0
        await asyncio.gather(*(client.tools(["shop.buy"]) for _ in range(5)))
        assert far.listed == 8


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "MODEL_NOT_FOUND"),
        (grpc.StatusCode.UNAVAILABLE, "", "GATEWAY_UNAVAILABLE"),
        (grpc.StatusCode.INTERNAL, "INTERNAL", "INTERNAL"),
        (None, "", "GENERATION_CUT_OFF"),
    ],
)
async def test_a_generation_that_does_not_finish_says_why(far, code, reason, told):
    far.code, far.reason = code, reason
    async with connected(far.port) as channel:
        stream = GatewayClient(channel).stream(generation_pb2.GenerateRequest())
        assert (await anext(stream)).text_delta.text == "Half"
        with pytest.raises(GenerationError) as caught:
            await anext(stream)
    assert caught.value.reason == told
    assert caught.value.message.endswith(".")


async def test_a_generation_that_is_left_ends_at_the_far_end(far):
    far.hangs = True
    async with connected(far.port) as channel:
        stream = GatewayClient(channel).stream(generation_pb2.GenerateRequest())
        assert (await anext(stream)).text_delta.text == "Half"
        await stream.aclose()
        async with asyncio.timeout(5):
            await far.ended.wait()
