"""The types of slots as expressions and texts see them, and the protobuf messages that CEL checks them with.

A type is a scalar, under CEL's name, or is made of others. Only the type check uses structures: at run time,
a structure is a plain map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2

ScalarType: TypeAlias = Literal["int", "double", "bool", "string", "dyn"]
"""CEL's name of a type; dyn is any type."""
CelType: TypeAlias = "ScalarType | Structure | ListOf"


@dataclass(frozen=True, eq=False, slots=True)
class Structure:
    """Named parts, each with its type."""

    parts: Mapping[str, CelType]
    description: str
    """For an author: "a sum of money"."""


@dataclass(frozen=True, eq=False, slots=True)
class ListOf:
    """Any number of items of one type."""

    item: CelType


def part_type(kind: CelType, key: str) -> CelType | None:
    """The type of a part, or of a list's item by its position; None if there is no such part."""
    if isinstance(kind, Structure):
        return kind.parts.get(key)
    if isinstance(kind, ListOf):
        return kind.item if key.isdecimal() else None
    return "dyn" if kind == "dyn" else None


_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALAR_FIELDS: Mapping[str, Any] = {
    "int": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
}
_ANYTHING, _ANY_LIST = ".google.protobuf.Value", ".google.protobuf.ListValue"
"""The messages that CEL treats as dyn and list(dyn)."""


class MessageTypes:
    """One protobuf message type for each structure."""

    def __init__(self, root: Structure) -> None:
        """Takes the structure that contains all others."""
        self._file = descriptor_pb2.FileDescriptorProto(name="flow.proto", package="flow", syntax="proto3")
        self._file.dependency.append(struct_pb2.DESCRIPTOR.name)
        self._names: dict[Structure, str] = {}
        self.root = self._message(root)
        """The name of the root's message."""
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
        self.pool.AddSerializedFile(self._file.SerializeToString())

    @property
    def structures(self) -> Mapping[str, Structure]:
        """The structures by the names of their messages, which CEL's reports use: "flow.s1"."""
        return {name: structure for structure, name in self._names.items()}

    def _message(self, structure: Structure) -> str:
        if structure not in self._names:
            # Numbered, so that slot names cannot clash with each other.
            short = f"s{len(self._names)}"
            self._names[structure] = f"flow.{short}"
            message = self._file.message_type.add(name=short)
            for number, (name, kind) in enumerate(structure.parts.items(), 1):
                self._field(message, message.field.add(name=name, number=number), kind)
        return self._names[structure]

    def _field(self, message: Any, field: Any, kind: CelType) -> None:
        field.label = _FIELD.LABEL_OPTIONAL
        if isinstance(kind, ListOf) and not (isinstance(kind.item, ListOf) or kind.item == "dyn"):
            field.label, kind = _FIELD.LABEL_REPEATED, kind.item
        if isinstance(kind, str) and kind != "dyn":
            field.type = _SCALAR_FIELDS[kind]
            if field.label == _FIELD.LABEL_OPTIONAL:
                # has() on a scalar field needs explicit presence, which proto3 spells as a oneof of one.
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
            return
        field.type = _FIELD.TYPE_MESSAGE
        if isinstance(kind, Structure):
            field.type_name = f".{self._message(kind)}"
        else:  # a list of lists, which protobuf does not have, or of anything
            field.type_name = _ANY_LIST if isinstance(kind, ListOf) else _ANYTHING
