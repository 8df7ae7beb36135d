"""Other teams' Python clients may be synchronous: the generated stubs serve them, whatever the RPC.

Against grpcio-testing's channel, which stands for a server and lets the test take each call and answer it.
Its servers run synchronous servicers only, and ours are asyncio; those are tested over real ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import grpc
import grpc_testing
import pytest
from google.protobuf.message_factory import GetMessageClass

FILES = {
    "clawdbot.dialogue.v1": ("dialogue_service", "flow_service"),
    "clawdbot.model_gateway.v1": ("model_gateway_service", "model_admin_service"),
    "clawdbot.plugins.v1": ("plugin_service", "tool_service", "hook_service"),
    "clawdbot.plugin_runtime.v1": ("plugin_runtime_service",),
}
SERVICES = {
    service.full_name: (service, import_module(f"{package}.{file}_pb2_grpc"))
    for package, files in FILES.items()
    for file in files
    for service in import_module(f"{package}.{file}_pb2").DESCRIPTOR.services_by_name.values()
}
METHODS = {
    method.full_name: (method, stubs) for service, stubs in SERVICES.values() for method in service.methods
}


@pytest.fixture
def channel():
    services = [service for service, _ in SERVICES.values()]
    return grpc_testing.channel(services, grpc_testing.strict_real_time())


@pytest.fixture
def caller() -> Iterator[ThreadPoolExecutor]:
    """The thread that a synchronous client blocks."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def rpc_of(channel, method, stubs):
    return getattr(getattr(stubs, f"{method.containing_service.name}Stub")(channel), method.name)


def streaming(both: tuple[bool, bool]) -> list[str]:
    """The methods that stream (requests, responses) so."""
    return [
        name
        for name, (method, _) in METHODS.items()
        if (method.client_streaming, method.server_streaming) == both
    ]


@pytest.mark.parametrize("name", streaming((False, False)))
def test_a_call_is_answered(name, channel, caller):
    method, stubs = METHODS[name]
    request, response = GetMessageClass(method.input_type)(), GetMessageClass(method.output_type)()
    calling = caller.submit(rpc_of(channel, method, stubs), request, timeout=5)
    _, sent, call = channel.take_unary_unary(method)
    call.send_initial_metadata(())
    call.terminate(response, (), grpc.StatusCode.OK, "")
    assert sent == request
    assert calling.result(5) == response


@pytest.mark.parametrize("name", streaming((False, True)))
def test_a_stream_is_read_to_its_end(name, channel, caller):
    method, stubs = METHODS[name]
    request, response = GetMessageClass(method.input_type)(), GetMessageClass(method.output_type)()
    reading = caller.submit(lambda: list(rpc_of(channel, method, stubs)(request, timeout=5)))
    _, sent, call = channel.take_unary_stream(method)
    call.send_initial_metadata(())
    for _ in range(3):
        call.send_response(response)
    call.terminate((), grpc.StatusCode.OK, "")
    assert sent == request
    assert reading.result(5) == [response] * 3


@pytest.mark.parametrize("name", streaming((True, True)))
def test_a_conversation_goes_both_ways(name, channel, caller):
    method, stubs = METHODS[name]
    request, response = GetMessageClass(method.input_type)(), GetMessageClass(method.output_type)()
    talking = caller.submit(lambda: list(rpc_of(channel, method, stubs)(iter([request] * 2), timeout=5)))
    _, call = channel.take_stream_stream(method)
    call.send_initial_metadata(())
    assert [call.take_request(), call.take_request()] == [request] * 2
    call.requests_closed()
    call.send_response(response)
    call.terminate((), grpc.StatusCode.OK, "")
    assert talking.result(5) == [response]


def test_a_refusal_is_an_error_with_its_code(channel, caller):
    method, stubs = METHODS["clawdbot.dialogue.v1.DialogueService.GetSession"]
    calling = caller.submit(
        rpc_of(channel, method, stubs), GetMessageClass(method.input_type)(session_id="nobody"), timeout=5
    )
    _, _, call = channel.take_unary_unary(method)
    call.send_initial_metadata(())
    call.terminate(None, (), grpc.StatusCode.NOT_FOUND, "There is no session nobody.")
    with pytest.raises(grpc.RpcError) as caught:
        calling.result(5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_no_method_is_left_out():
    assert not streaming((True, False))
    assert len(METHODS) == sum(len(service.methods) for service, _ in SERVICES.values()) > 40
