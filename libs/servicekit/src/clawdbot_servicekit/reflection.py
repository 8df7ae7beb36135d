"""Serves reflection, in both of its versions: they differ in their names alone, and grpcio has the older one.

The descriptors have the JSON names of fields, which generated Python drops. Without them grpcurl would show
`session_id` where the JSON of every other client has `sessionId`. Methods can be looked up, too, as
`grpcurl describe` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # no py.typed
from grpc_reflection.v1alpha import reflection, reflection_pb2  # type: ignore[import-untyped]

ERROR_DETAILS: Final = error_details_pb2.DESCRIPTOR
"""No service refers to it, but every error contains its messages, and clients look them up to show them."""

V1: Final = "grpc.reflection.v1.ServerReflection"
V1_ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"


def add_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    """Serves the reflection of these services, and of its own."""
    names = [*services, V1, V1_ALPHA]
    servicer = reflection.aio.ReflectionServicer(names, pool=_reflection_pool([*services, V1_ALPHA]))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (V1, V1_ALPHA):
        server.add_registered_method_handlers(name, {"ServerReflectionInfo": handler})


class ReflectionPool:
    """A pool whose files are also found by the names of their methods.

    protobuf's own finds a file by every other symbol, but not by these, and its class cannot be derived from.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file that declares the symbol; raises KeyError if there is none."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


def _reflection_pool(services: Iterable[str]) -> ReflectionPool:
    """The files that declare these services, all that they import, and reflection's own of version 1."""
    loaded, pool, added = descriptor_pool.Default(), DescriptorPool(), set[str]()
    for file in (ERROR_DETAILS, _version_1(), *map(loaded.FindFileContainingSymbol, services)):
        _add(file, pool, added)
    return ReflectionPool(pool)


def _version_1() -> FileDescriptor:
    """The file of version 1, made of the older one."""
    proto = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(proto)
    text = text_format.MessageToString(proto).replace("v1alpha", "v1")
    pool = DescriptorPool()
    pool.Add(text_format.Parse(text, FileDescriptorProto()))
    return pool.FindFileContainingSymbol(V1)


def _add(file: FileDescriptor, pool: DescriptorPool, added: set[str]) -> None:
    if file.name in added:
        return
    added.add(file.name)
    for each in file.dependencies:
        _add(each, pool, added)
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    _set_json_names(
        proto.message_type, [file.message_types_by_name[each.name] for each in proto.message_type]
    )
    pool.Add(proto)


def _set_json_names(protos: Sequence[DescriptorProto], messages: Sequence[Descriptor]) -> None:
    for proto, message in zip(protos, messages, strict=True):
        for field in proto.field:
            field.json_name = message.fields_by_name[field.name].json_name
        _set_json_names(
            proto.nested_type, [message.nested_types_by_name[each.name] for each in proto.nested_type]
        )
