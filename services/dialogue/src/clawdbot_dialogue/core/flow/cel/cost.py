"""Bounds what an expression with loops (`map`, `filter`, `all`, `exists`, `exists_one`) may cost.

The library bounds the rounds of loops, but not how values grow in them: 26 times `.map(a, a + a)` makes 67
million values of one. So the work is estimated from the syntax tree, as a function of how large the values
are that it reads. From that follows how large they may be, which is compared before each evaluation.

Sizes are counted in values, and long texts count for several. A loop's items are taken both as one large item
and as many small ones, since one of the two costs most.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

MAX_WORK: Final = 4_000_000
"""Values that an evaluation may build or compare: a second, and some hundred MB."""
MIN_SIZE: Final = 64
"""An expression must stay within MAX_WORK for values of this size."""
MAX_SIZE: Final = MAX_WORK
"""No value is larger: it could not even be read once."""
_MAX_ROUNDS: Final = 10_000
"""The rounds of one loop that the library allows."""
_MAX_LOOPS: Final = 8
_MAX_DEPTH: Final = 3
"""Of loops in each other. Each is estimated twice: the time of an estimate grows with two to this power."""
_MATCH_WORK: Final = 100
"""Of each `matches`, in values: it compiles its pattern."""
_INSTRUCTION_WORK: Final = 2
"""Of each instruction of that pattern."""
_TEXT_UNIT: Final = 64
"""Characters of a text that count as one value."""
_LOOP = re.compile(r"\b(?:map|filter|all|exists|exists_one)\b")
_SMALL: Final = frozenset(
    (
        *("_&&_", "_||_", "!_", "-_", "@not_strictly_false", "@in"),
        *("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"),
        *("_-_", "_*_", "_/_", "_%_", "bool", "double", "int", "uint", "type"),
        *("size", "contains", "startsWith", "endsWith", "matches"),
    )
)
"""Functions whose value has a size of one; that of others is at most the sum of their arguments'."""


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """How large the values may be that an expression reads."""

    roots: frozenset[str]
    """The parts of the scope that it reads, each a name or a name and a key: "result", "slots.lines"."""
    size: int

    def allows(self, scope: Mapping[str, Any]) -> bool:
        """Whether all that the expression reads is small enough."""
        return all(_size_is_at_most(self.size, _read(scope, root)) for root in self.roots)


class TooCostly(Exception):
    """The work is too much even for small values."""


def has_loops(text: str) -> bool:
    """Whether an expression may have loops; without one its work is proportional to what it reads.

    Any use of the words counts, since there can be a comment between the dot and the name.
    """
    return bool(_LOOP.search(text))


def constant_patterns(program: Any) -> Iterator[str | None]:
    """The patterns of `matches` in a compiled expression; None for one that is not written in it.

    What the person said could then be a pattern, and RE2's time grows with the pattern times the text.
    """
    return _constant_patterns(_syntax_tree(program))


def _constant_patterns(tree: Any) -> Iterator[str | None]:
    if tree.WhichOneof("kind") == "call" and tree.call.function == "matches":
        pattern = tree.call.args[-1]
        yield pattern.const.text if pattern.WhichOneof("kind") == "const" else None
    for each in _inner(tree):
        yield from _constant_patterns(each)


def size_limit(program: Any, pattern_size: int) -> SizeLimit | None:
    """The limit for a compiled expression; None if it has no loops.

    Args:
        program: the expression.
        pattern_size: of its largest pattern.

    Raises:
        TooCostly: its work is too much for values of MIN_SIZE.
    """
    tree = _syntax_tree(program)
    loops = _count_loops(tree)
    if not loops:
        return None
    if loops > _MAX_LOOPS or _depth(tree) > _MAX_DEPTH:
        raise TooCostly
    sizes = [MIN_SIZE << doubled for doubled in range((MAX_SIZE // MIN_SIZE).bit_length() + 1)]
    # Few estimates, since each takes a while: the work grows with the size.
    allowed = bisect(sizes, MAX_WORK, key=lambda size: _work(tree, size, pattern_size))
    if not allowed:
        raise TooCostly
    return SizeLimit(frozenset(_roots(tree, frozenset())), sizes[allowed - 1])


def _work(tree: Any, size: int, pattern_size: int) -> int:
    estimate = _Estimate(size, pattern_size)
    return estimate.size_of(tree, {}) + estimate.work


class _Estimate:
    """The work of an expression if every value that it reads has one size."""

    def __init__(self, size: int, pattern_size: int) -> None:
        self._size = size
        self._match_work = _MATCH_WORK + _INSTRUCTION_WORK * pattern_size
        self.work = 0

    def size_of(self, tree: Any, variables: Mapping[str, int]) -> int:
        """The size of a part's value; its work is added up."""
        kind = tree.WhichOneof("kind")
        if kind == "ident":
            return variables.get(tree.ident.name, self._size)
        if kind == "select":
            inner = self.size_of(tree.select.operand, variables)
            return 1 if tree.select.test_only else inner
        if kind == "comprehension":
            return self._loop(tree.comprehension, variables)
        if kind is None or kind == "const":
            return 1
        sizes = [self.size_of(each, variables) for each in _inner(tree)]
        if kind == "call" and tree.call.function == "_?_:_":
            return max(sizes)
        self.work += sum(sizes)
        if kind == "call" and tree.call.function == "matches":
            self.work += self._match_work
        if kind == "call":
            return 1 if tree.call.function in _SMALL else max(1, sum(sizes))
        return 1 + sum(sizes)

    def _loop(self, loop: Any, variables: Mapping[str, int]) -> int:
        whole = self.size_of(loop.range, variables)
        start = self.size_of(loop.start, variables)
        before, most_work, largest = self.work, 0, 0
        for rounds in {1, min(whole, _MAX_ROUNDS)}:
            self.work = 0
            inner = {**variables, loop.variable: -(-whole // rounds), loop.total: 0}
            self.size_of(loop.condition, inner)
            largest = max(largest, rounds * self.size_of(loop.step, inner))
            most_work = max(most_work, rounds * self.work)
        self.work = before + whole + most_work
        return self.size_of(loop.result, {**variables, loop.total: start + largest})


def _inner(tree: Any) -> list[Any]:
    kind = tree.WhichOneof("kind")
    if kind == "call":
        return [*([tree.call.target] if tree.call.HasField("target") else ()), *tree.call.args]
    if kind == "list":
        return [*tree.list.elements]
    if kind == "struct":
        return [part for each in tree.struct.entries for part in (each.key, each.value)]
    if kind == "select":
        return [tree.select.operand]
    if kind == "comprehension":
        loop = tree.comprehension
        return [loop.range, loop.start, loop.condition, loop.step, loop.result]
    return []


def _count_loops(tree: Any) -> int:
    own = int(tree.WhichOneof("kind") == "comprehension")
    return own + sum(map(_count_loops, _inner(tree)))


def _depth(tree: Any) -> int:
    """How many loops are in each other; those in the range of another one only follow each other."""
    if tree.WhichOneof("kind") != "comprehension":
        return max(map(_depth, _inner(tree)), default=0)
    outside, *inside = map(_depth, _inner(tree))
    return max(outside, 1 + max(inside))


def _roots(tree: Any, variables: frozenset[str]) -> Iterable[str]:
    """The parts of the scope that a tree reads."""
    kind = tree.WhichOneof("kind")
    if kind == "ident" and tree.ident.name not in variables:
        yield tree.ident.name
    elif kind == "select" and tree.select.operand.WhichOneof("kind") == "ident":
        name = tree.select.operand.ident.name
        if name not in variables:
            yield f"{name}.{tree.select.field}"
    elif kind == "comprehension":
        loop = tree.comprehension
        yield from _roots(loop.range, variables)
        inside = variables | {loop.variable, loop.total}
        for each in (loop.start, loop.condition, loop.step, loop.result):
            yield from _roots(each, inside)
    else:
        for each in _inner(tree):
            yield from _roots(each, variables)


def _read(scope: Mapping[str, Any], root: str) -> object:
    name, _, key = root.partition(".")
    value = scope.get(name)
    return value.get(key) if key and isinstance(value, dict) else value


def _size_is_at_most(limit: int, value: object) -> bool:
    """Whether a value has at most so many values; counts no further than that."""
    pending, left = [value], limit
    while pending and left >= 0:
        each = pending.pop()
        left -= 1 + (len(each) // _TEXT_UNIT if isinstance(each, str) else 0)
        if isinstance(each, dict):
            left -= sum(len(key) // _TEXT_UNIT for key in each)
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return left >= 0


# The library gives the syntax tree only as a serialized message, without the classes to read it:
# https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto.

_Field = descriptor_pb2.FieldDescriptorProto
_MESSAGES: Final[Mapping[str, tuple[tuple[str, int, str], ...]]] = {
    "Checked": (("expr", 4, "Tree"),),
    "Tree": (
        ("const", 3, "Constant"),
        ("ident", 4, "Identifier"),
        ("select", 5, "Select"),
        ("call", 6, "Call"),
        ("list", 7, "List"),
        ("struct", 8, "Struct"),
        ("comprehension", 9, "Loop"),
    ),
    "Constant": (("text", 6, "text"),),
    "Identifier": (("name", 1, "text"),),
    "Select": (("operand", 1, "Tree"), ("field", 2, "text"), ("test_only", 3, "flag")),
    "Call": (("target", 1, "Tree"), ("function", 2, "text"), ("args", 3, "*Tree")),
    "List": (("elements", 1, "*Tree"),),
    "Struct": (("entries", 2, "*Entry"),),
    "Entry": (("key", 3, "Tree"), ("value", 4, "Tree")),
    "Loop": (
        ("variable", 1, "text"),
        ("range", 2, "Tree"),
        ("total", 3, "text"),
        ("start", 4, "Tree"),
        ("condition", 5, "Tree"),
        ("step", 6, "Tree"),
        ("result", 7, "Tree"),
    ),
}
"""The fields that are used: name, number, type; * for several."""


def _syntax_tree(program: Any) -> Any:
    packed = any_pb2.Any.FromString(program.serialize())
    return _checked_class().FromString(packed.value).expr


@functools.cache
def _checked_class() -> Any:
    """The class of the message that a compiled expression is serialized as."""
    file = descriptor_pb2.FileDescriptorProto(name="cel_tree.proto", package="cel_tree", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number, label=_Field.LABEL_OPTIONAL)
            if kind == "text":
                field.type = _Field.TYPE_STRING
            elif kind == "flag":
                field.type = _Field.TYPE_BOOL
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".cel_tree.{kind.removeprefix('*')}"
            if kind.startswith("*"):
                field.label = _Field.LABEL_REPEATED
            elif name == "Tree":
                field.oneof_index = 0
        if name == "Tree":
            message.oneof_decl.add(name="kind")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("cel_tree.Checked"))
