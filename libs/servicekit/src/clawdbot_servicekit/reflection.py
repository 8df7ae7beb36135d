"""The descriptors that reflection serves, with the JSON names of the fields.

Generated Python drops these from its descriptors. Without them grpcurl would show `session_id` where the JSON
of every other client has `sessionId`. Methods can be looked up, too, as `grpcurl describe` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # no py.typed

ERROR_DETAILS: Final = error_details_pb2.DESCRIPTOR
"""No service refers to it, but every error contains its messages, and clients look them up to show them."""


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


def reflection_pool(services: Iterable[str]) -> ReflectionPool:
    """The files that declare these services, and all that they import."""
    loaded, pool, added = descriptor_pool.Default(), DescriptorPool(), set[str]()
    for file in (ERROR_DETAILS, *map(loaded.FindFileContainingSymbol, services)):
        _add(file, pool, added)
    return ReflectionPool(pool)


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
