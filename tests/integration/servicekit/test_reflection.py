"""What reflection tells: every service and symbol of the server, and no other."""

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.hosts import hosting
from tests.support.trial_service import SERVICE

VERSIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def reflection_call(channel, requests, version=VERSIONS[0]):
    """A call of ServerReflectionInfo; the messages of both versions are the same."""
    method = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return method(iter(requests))


@pytest.mark.parametrize("version", VERSIONS)
async def test_reflection_lists_every_service_in_both_versions(tmp_path, version):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = await anext(aiter(reflection_call(channel, [listing], version)))
        names = {each.name for each in answer.list_services_response.service}
        assert names == {SERVICE, "grpc.health.v1.Health", *VERSIONS}


async def declaring_file(channel, symbol):
    """The name of the file that declares the symbol, by reflection; None if there is none."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    answer = await anext(aiter(reflection_call(channel, [request])))
    if answer.HasField("error_response"):
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        return None
    files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return next(iter(files)).name


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        (SERVICE, "clawdbot/plugins/v1/tool_service.proto"),
        (f"{SERVICE}.ListTools", "clawdbot/plugins/v1/tool_service.proto"),
        (f"{SERVICE}.InvokeTool", "clawdbot/plugins/v1/tool_service.proto"),
        ("clawdbot.plugins.v1.InvokeToolRequest.tool", "clawdbot/plugins/v1/tool_service.proto"),
        ("clawdbot.common.v1.scope", "clawdbot/common/v1/access.proto"),
        ("google.rpc.RetryInfo", "google/rpc/error_details.proto"),
        ("grpc.health.v1.Health.Check", "grpc_health/v1/health.proto"),
        ("grpc.reflection.v1.ServerReflection", "grpc_reflection/v1/reflection.proto"),
        ("grpc.reflection.v1.ServerReflectionRequest.host", "grpc_reflection/v1/reflection.proto"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc_reflection/v1alpha/reflection.proto"),
        (f"{SERVICE}.Nonesuch", None),
        (f"{SERVICE}.", None),
        (f"{SERVICE}.ListTools.ListTools", None),
        ("ListTools", None),
        ("", None),
        ("clawdbot.dialogue.v1.DialogueService.SendTurn", None),
    ],
)
async def test_reflection_finds_every_symbol_of_the_services_and_no_other(tmp_path, symbol, file):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        assert await declaring_file(channel, symbol) == file


async def test_reflection_can_be_switched_off(tmp_path):
    async with hosting(tmp_path, server={"reflection": False}) as hosted, hosted.insecure() as channel:
        # Without a request: the answer may come before it, and grpc.aio then fails to write.
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        assert await call.code() == grpc.StatusCode.UNIMPLEMENTED
