"""Media of a request follow the policy before any backend sees them."""

from __future__ import annotations

import grpc.aio
import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensRequest
from clawdbot_servicekit.error_table import remote_error

from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, says

METADATA = "http://169.254.169.254/latest/meta-data/"
CALL = Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=ToolCall(id="c1", name="camera.look"))])


def shows(*parts: Part) -> Message:
    return Message(role=ROLE_USER, parts=[Part(text="What is this?"), *parts])


def returns(*content: Part) -> Message:
    return Message(
        role=ROLE_TOOL,
        parts=[Part(tool_result=ToolResult(call_id="c1", name="camera.look", content=content))],
    )


REFUSED = [
    (asks(shows(Part(image=Media(uri="file:///etc/passwd")))), "messages[0].parts[1].image.uri"),
    (asks(shows(Part(audio=Media(uri="gopher://example.com/")))), "messages[0].parts[1].audio.uri"),
    (asks(shows(Part(document=Document(uri=METADATA)))), "messages[0].parts[1].document.uri"),
    (
        asks(shows(Part(image=Media(data=b"png", media_type="image/png\r\nX: y")))),
        "messages[0].parts[1].image.media_type",
    ),
    (
        asks(shows(Part(image=Media(uri="https://[::ffff:a9fe:a9fe]/"))), says("Hm", ROLE_ASSISTANT), "And?"),
        "messages[0].parts[1].image.uri",
    ),
    (
        asks("Look", CALL, returns(Part(text="so"), Part(image=Media(uri="https://2852039166/")))),
        "messages[2].parts[0].tool_result.content[1].image.uri",
    ),
]


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


@pytest.mark.parametrize(("request_", "field"), REFUSED)
async def test_media_that_the_policy_refuses_reach_no_backend(tmp_path, backend, request_, field):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        before = len(backend.asked)
        for client in (served.client, served.inside):
            for rpc in ("generate", "stream"):
                error = await client.fault(request_, rpc)
                assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
                assert [each.field for each in error.violations] == [field]
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.gateway.CountTokens(CountTokensRequest(request=request_))
            assert [each.field for each in remote_error(refused.value).violations] == [field]
        assert len(backend.asked) == before


async def test_settings_say_which_hosts_and_schemes_reach_the_backend(tmp_path, backend):
    media = {"schemes": ["https", "http"], "private_hosts": ["*.example.internal"]}
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY), media=media) as served:
        for uri in ("https://example.com/a.png", "http://files.example.internal/a.png"):
            await served.client.run(asks(shows(Part(image=Media(uri=uri)))), "generate")
            assert backend.last["messages"][0]["content"][1] == {
                "type": "image_url",
                "image_url": {"url": uri},
            }
        for uri in (METADATA, "data:image/png;base64,cG5n", "http://example.internal/a.png"):
            error = await served.client.fault(asks(shows(Part(image=Media(uri=uri)))))
            assert [each.field for each in error.violations] == ["messages[0].parts[1].image.uri"]
