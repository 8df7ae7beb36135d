"""Arguments as JSON text reach a tool, and its results come back, with whole numbers of any size."""

from __future__ import annotations

import json

import pytest
from clawdbot.plugins.v1.tool_service_pb2 import InvokeToolRequest
from clawdbot_plugin_sdk import Plugin
from clawdbot_servicekit.error_table import remote_error
from grpc.aio import AioRpcError
from pydantic import BaseModel

from tests.support.plugin_service import serving

BIG = 2512292042121000001


class Order(BaseModel):
    id: int


def shop() -> Plugin:
    plugin = Plugin("shop", version="1.0.0")

    @plugin.tool()
    async def find(order: int) -> Order:
        """Find an order."""
        return Order(id=order)

    @plugin.tool(effect="once")
    async def pay(order: int) -> str:
        """Pay for an order."""
        return f"paid {order}"

    return plugin


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path, shop()) as running:
        yield running


async def invoke(served, tool, arguments_json, **more):
    request = InvokeToolRequest(tool=tool, arguments_json=arguments_json, **more)
    *_, last = [event async for event in served.client.tools.InvokeTool(request, timeout=20)]
    return last.result


@pytest.mark.parametrize("number", [7, BIG, -BIG, 2**70 + 1])
async def test_a_whole_number_is_exact_in_the_tool_and_in_its_text(served, number):
    result = await invoke(served, "shop.find", f'{{"order": {number}}}')
    assert result.content[0].text == f'{{"id":{number}}}'


@pytest.mark.parametrize("number", [BIG, -BIG, 2**70 + 1])
async def test_a_result_is_exact_as_data_too(served, number):
    result = await invoke(served, "shop.find", f'{{"order": {number}}}')
    assert json.loads(result.structured_json) == {"id": number}
    assert dict(result.structured.items()) == {"id": float(number)}


async def test_a_result_that_a_struct_holds_exactly_is_not_repeated_as_text(served):
    result = await invoke(served, "shop.find", '{"order": 7}')
    assert result.structured_json == ""
    assert dict(result.structured.items()) == {"id": 7}


async def test_the_text_counts_where_the_struct_differs(served):
    request = InvokeToolRequest(tool="shop.find", arguments_json=f'{{"order": {BIG}}}')
    request.arguments.update({"order": float(BIG)})
    *_, last = [event async for event in served.client.tools.InvokeTool(request, timeout=20)]
    assert str(BIG) in last.result.content[0].text


async def test_two_numbers_that_a_struct_rounds_to_one_are_two_calls(served):
    for number in (BIG, 2**70 + 1):
        await invoke(served, "shop.pay", f'{{"order": {number}}}', request_id=f"r{number}")
        with pytest.raises(AioRpcError) as raised:
            await invoke(served, "shop.pay", f'{{"order": {number + 1}}}', request_id=f"r{number}")
        assert remote_error(raised.value).reason == "REQUEST_ID_REUSED"
        again = await invoke(served, "shop.pay", f'{{ "order":{number}}}', request_id=f"r{number}")
        assert again.content[0].text == f"paid {number}"


@pytest.mark.parametrize("invalid", ["{", "[]", "4", '{"order": NaN}', '{"order": 1e999}', "[" * 100_000])
async def test_text_that_is_no_json_object_is_refused_with_its_field(served, invalid):
    with pytest.raises(AioRpcError) as raised:
        await invoke(served, "shop.find", invalid)
    error = remote_error(raised.value)
    assert error.code == "INVALID_ARGUMENT"
    assert "arguments_json" in error.message or "arguments_json" in str(error.violations)
