"""CEL: guards, call arguments and patterns, compiled once per flow and checked against the declared slots.

Two environments do it. The checking one knows each slot's type, as fields of a message made for the flow, so
that a wrong name or type is found before anything runs. The running one sees plain maps, so that a slot
without a value is an error of the evaluation (in a message it would silently be 0 or "") and `has(slots.x)`
tells. Evaluation is bounded by the library: 32 levels, a budget of iterations, and RE2 for `matches`, which
takes linear time.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, but no py.typed
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2

from clawdbot_dialogue.core.flow.diagnostics import nearest

LONGEST_EXPRESSION = 1000
"""Characters."""
SCOPES = ("slots", "result", "event", "turn")
"""The names that expressions and templates see."""
RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)
"""Words that CEL keeps for itself; https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax."""

_FIELD = descriptor_pb2.FieldDescriptorProto
_FIELD_TYPES: Mapping[str, Any] = {
    "int": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
    "dyn": _FIELD.TYPE_MESSAGE,
}
_PLAIN_WORDS: Mapping[str, str] = {
    "int": "a whole number",
    "double": "a number",
    "bool": "true or false",
    "string": "text",
    "null": "nothing",
    "null_type": "nothing",
    "dyn": "anything",
}


class ExpressionFault(ValueError):
    """An expression that cannot be compiled; `offset` counts its characters from 0."""

    def __init__(self, code: str, message: str, hint: str = "", offset: int = 0) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        super().__init__(message)


class EvaluationFailed(ValueError):
    """An expression that has no value just now: an empty slot, a division by zero, a wrong type."""


class Activation:
    """A scope that expressions are evaluated in; worth keeping while the scope does not change."""

    __slots__ = ("_made", "_scope")

    def __init__(self, scope: Mapping[str, object]) -> None:
        self._scope = scope
        self._made: Any = None

    @property
    def made(self) -> Any:
        """The scope in the form that CEL takes."""
        if self._made is None:
            self._made = _running().Activation(self._scope)
        return self._made

    def read(self, path: tuple[str, ...]) -> object:
        """What a path leads to, where CEL has it as Python has it: text, a number, true or false; else None.

        Args:
            path: Keys from the scope on; empty leads to nothing.
        """
        value: object = self._scope if path else None
        for key in path:
            if type(value) is not dict:
                return None
            value = value.get(key)
        return value if type(value) in _ALIKE and (type(value) is not int or -_INT <= value < _INT) else None


_ALIKE = frozenset((str, bool, int, float))
_INT = 2**63


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    text: str
    returns: str
    """CEL's name of the type: "bool", "int", "double", "string", "dyn", "list(dyn)", …"""
    program: Any
    path: tuple[str, ...] = ()
    """The keys of one that only walks through the scope, such as slots.date. Many do no more, and to read
    what is there takes a twentieth of an evaluation, which tells what is wrong where it is not."""

    def holds(self, activation: Activation) -> bool:
        """Whether a guard is true.

        Raises:
            EvaluationFailed: it is neither true nor false.
        """
        value = activation.read(self.path)
        if value is None:
            value = self._value(activation)
        if value is True or value is False:
            return bool(value)
        raise EvaluationFailed(f"`{self.text}` is neither true nor false")

    def value(self, activation: Activation) -> object:
        """What it evaluates to, as JSON.

        Raises:
            EvaluationFailed: it has no value, or one that JSON has not.
        """
        value = activation.read(self.path)
        return _json(self._value(activation), self.text) if value is None else value

    def _value(self, activation: Activation) -> object:
        try:
            found = self.program.eval(activation.made)
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationFailed(f"`{self.text}`: {_first_line(error)}") from None
        value = found.plain_value()
        # An error's value is its words.
        if isinstance(value, str) and found.type() == cel.Type.ERROR:
            raise EvaluationFailed(f"`{self.text}`: {_without_code(value)}")
        return value


_PATH = re.compile(rf"(?:{'|'.join(SCOPES)})(?:\.[A-Za-z_]\w*)+", re.ASCII)
_OTHERWISE = re.compile(r"\{|\bslots\b(?!\s*\.\s*\w)")


class _Deferred:
    """A program that is compiled when it runs first."""

    __slots__ = ("_compiled", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._compiled: Any = None

    def eval(self, activation: Any) -> Any:
        """What the program evaluates to."""
        if self._compiled is None:
            self._compiled = _running().compile(self._text)
        return self._compiled.eval(activation)


class ExpressionCompiler:
    """Compiles the expressions of one flow."""

    def __init__(self, slots: Mapping[str, str]) -> None:
        """Takes the declared slots and their CEL types: int, double, bool, string, or dyn for any."""
        self._slots = slots
        self._checking = _checking(slots)
        self._compiled: dict[str, Expression] = {}
        """By text: many states of a large flow ask the same."""

    def guard(self, text: str) -> Expression:
        """Compiles what must be true or false.

        Raises:
            ExpressionFault: with code guard-syntax, guard-type or undeclared-slot.
        """
        expression = self.argument(text)
        if expression.returns not in ("bool", "dyn"):
            what = _PLAIN_WORDS.get(expression.returns, expression.returns)
            hint = "Compare it, as in `slots.party_size > 8`; has(slots.x) asks whether x has a value."
            raise ExpressionFault("guard-type", f"A guard is true or false; this is {what}.", hint)
        return expression

    def argument(self, text: str) -> Expression:
        """Compiles what a call is given.

        Raises:
            ExpressionFault: as for a guard.
        """
        if text in self._compiled:
            return self._compiled[text]
        if len(text) > LONGEST_EXPRESSION:
            message = f"The expression has {len(text):,} characters; {LONGEST_EXPRESSION:,} are allowed."
            raise ExpressionFault("guard-syntax", message)
        try:
            returns = self._checking.compile(text).return_type()
            # What builds a message or takes all slots as one value, which the check sees otherwise, is found
            # out now. All else that passes it can run, and is compiled for that when it does: who only checks
            # a flow needs half the time.
            program = _running().compile(text) if _OTHERWISE.search(text) else _Deferred(text)
        except RuntimeError as error:
            raise _fault(text, str(error), self._slots) from None
        name = str(returns.name()).lower()
        if name in ("bytes", "timestamp", "duration", "type"):
            hint = "Dates and times are text here: compare them as text, or use string(…)."
            raise ExpressionFault("guard-type", f"A {name} cannot leave an expression.", hint)
        path = tuple(text.split(".")) if _PATH.fullmatch(text) else ()
        self._compiled[text] = Expression(text, name, program, path)
        return self._compiled[text]


@functools.cache
def _running() -> Any:
    """The environment in which every flow's expressions run; made at the first use, since it takes 50 ms."""
    some = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables={"slots": some, "result": cel.Type.DYN, "event": some, "turn": some})


def _checking(slots: Mapping[str, str]) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="slots.proto", package="flow", syntax="proto3")
    file.dependency.append(struct_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="slots")
    for number, (name, kind) in enumerate(slots.items(), 1):
        field = message.field.add(
            name=name, number=number, type=_FIELD_TYPES[kind], label=_FIELD.LABEL_OPTIONAL
        )
        if kind == "dyn":
            field.type_name = ".google.protobuf.Value"  # which CEL takes for anything
            continue
        # has() on a scalar field needs explicit presence, which proto3 spells as a oneof of one.
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    some = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    types = {"slots": cel.Type("flow.slots"), "result": cel.Type.DYN, "event": some, "turn": some}
    return cel.NewEnv(pool, variables=types)


_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?: \[[A-Z_]+\])?$", re.MULTILINE)
_OVERLOAD = re.compile(r"found no matching overload for '(.*)' applied to '\((.*)\)'")
_FIELD_FAULT = re.compile(r"undefined field '(.*)' not found in struct 'flow\.slots'")
_NAME_FAULT = re.compile(r"undeclared reference to '([^']*)'")


def _fault(text: str, report: str, slots: Mapping[str, str]) -> ExpressionFault:
    """CEL's report in this language's words."""
    found = _ERROR.search(report)
    if not found:
        return ExpressionFault("guard-syntax", f"The expression cannot be read: {_without_code(report)}.")
    lines = text.split("\n")
    # Both are -1 for a fault of the whole, such as too much nesting.
    line, column = max(1, min(int(found[1]), len(lines))), max(1, int(found[2]))
    offset = min(sum(len(each) + 1 for each in lines[: line - 1]) + column - 1, len(text))
    problem = found[3]
    if overload := _OVERLOAD.match(problem):
        return _type_fault(overload[1], overload[2], offset)
    if field := _FIELD_FAULT.match(problem):
        place = text.find(field[1], offset)
        hint = nearest(field[1], slots)
        return ExpressionFault("undeclared-slot", f'There is no slot "{field[1]}".', hint, max(place, offset))
    if name := _NAME_FAULT.match(problem):
        place = text.rfind(name[1], 0, offset + len(name[1]))
        hint = f"Write slots.{name[1]}." if name[1] in slots else f"An expression sees {', '.join(SCOPES)}."
        message = f'"{name[1]}" means nothing here.'
        return ExpressionFault("guard-type", message, hint, place if place >= 0 else offset)
    problem = problem.removeprefix("Syntax error: ").split(" expecting ")[0].replace("'<EOF>'", "its end")
    return ExpressionFault(
        "guard-syntax", f"The expression cannot be read: {problem}.", _syntax_hint(text), offset
    )


def _syntax_hint(text: str) -> str:
    for wrong, right in ((" and ", "&&"), (" or ", "||"), ("not ", "!")):
        if wrong in f" {text} ":
            return f"Write {right} for `{wrong.strip()}`."
    if re.search(r"[^=!<>]=[^=]", text):
        return "Write == to compare."
    return ""


def _type_fault(operator: str, operands: str, offset: int) -> ExpressionFault:
    kinds = operands.split(", ")
    words = [_PLAIN_WORDS.get(kind, "the slots" if kind == "flow.slots" else kind) for kind in kinds]
    shown = operator.strip("_").replace("_", " ") if "_" in operator else operator
    message = f"`{shown}` does not fit {' and '.join(words)}."
    hint = "Compare a number slot with 3.0 rather than 3." if set(kinds) == {"double", "int"} else ""
    if operator == "_?_:_":
        hint = "Both values are of one type; dyn(…) around one of them lifts that."
    return ExpressionFault("guard-type", message, hint, offset)


def _without_code(report: str) -> str:
    """Takes the status codes off a report: "NOT_FOUND: Key not found in map"."""
    first = _first_line(report)
    return re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", first)


def _first_line(error: object) -> str:
    return str(error).split("\n", 1)[0]


def _json(value: object, text: str) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_json(each, text) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json(value[key], text) for key in sorted(value)}
    raise EvaluationFailed(f"`{text}` gives a {type(value).__name__}, which JSON has not")
