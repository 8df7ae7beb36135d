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

from clawdbot_dialogue.core.flow.cel.errors import (
    ExpressionFault,
    fault,
    first_line,
    in_words,
    without_code,
)
from clawdbot_dialogue.core.flow.cel.fast_path import Reading, nothing, reading
from clawdbot_dialogue.core.flow.cel.types import CelType, Messages, Structure

LONGEST_EXPRESSION = 1000
"""Characters."""
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


class EvaluationFailed(ValueError):
    """An expression that has no value just now: an empty slot, a division by zero, a wrong type."""


class Activation:
    """A scope that expressions are evaluated in; worth keeping while the scope does not change."""

    __slots__ = ("_made", "scope")

    def __init__(self, scope: Mapping[str, object]) -> None:
        self.scope = scope
        self._made: Any = None

    @property
    def made(self) -> Any:
        """The scope in the form that CEL takes."""
        if self._made is None:
            self._made = _running().Activation(self.scope)
        return self._made


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    text: str
    returns: str
    """CEL's name of the type: "bool", "int", "double", "string", "dyn", "list<dyn>", …; for a structure, that
    of its message: "flow.s1"."""
    program: Any
    read: Reading = nothing
    """Gives the value without the program, where that can be done."""

    def holds(self, activation: Activation) -> bool:
        """Whether a guard is true.

        Raises:
            EvaluationFailed: it is neither true nor false.
        """
        value = self.read(activation.scope)
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
        value = self.read(activation.scope)
        return _json(self._value(activation), self.text) if value is None else value

    def _value(self, activation: Activation) -> object:
        try:
            found = self.program.eval(activation.made)
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationFailed(f"`{self.text}`: {first_line(error)}") from None
        value = found.plain_value()
        # An error's value is its words.
        if isinstance(value, str) and found.type() == cel.Type.ERROR:
            raise EvaluationFailed(f"`{self.text}`: {without_code(value)}")
        return value


_OTHERWISE = re.compile(r"\{|\bslots\b(?!\s*\.\s*\w)|\bflow\b")


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

    def __init__(self, slots: Mapping[str, CelType]) -> None:
        """Takes the declared slots and their types."""
        messages = Messages(Structure(slots, "the slots"))
        self._root = messages.root
        self._structures = messages.structures
        self._checking = _checking(messages)
        self._compiled: dict[str, Expression] = {}
        """By text: many states of a large flow ask the same."""

    def guard(self, text: str) -> Expression:
        """Compiles what must be true or false.

        Raises:
            ExpressionFault: with code guard-syntax, guard-type or undeclared-slot.
        """
        expression = self.argument(text)
        if expression.returns not in ("bool", "dyn"):
            what = in_words(expression.returns, self._structures)
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
            # What builds or names a message or takes all slots as one value, which the check sees otherwise,
            # is found out now. All else that passes it can run, and is compiled for that when it does: who
            # only checks a flow needs half the time.
            program = _running().compile(text) if _OTHERWISE.search(text) else _Deferred(text)
        except RuntimeError as error:
            raise fault(text, str(error), self._structures, self._root) from None
        name = str(returns.name()).lower()
        if name in ("bytes", "timestamp", "duration", "type"):
            hint = "Dates and times are text here: compare them as text, or use string(…)."
            raise ExpressionFault("guard-type", f"A {name} cannot leave an expression.", hint)
        self._compiled[text] = Expression(text, name, program, reading(text))
        return self._compiled[text]


@functools.cache
def _running() -> Any:
    """The environment in which every flow's expressions run; made at the first use, since it takes 50 ms."""
    some = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables={"slots": some, "result": cel.Type.DYN, "event": some, "turn": some})


def _checking(messages: Messages) -> Any:
    some = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    types = {"slots": cel.Type(messages.root), "result": cel.Type.DYN, "event": some, "turn": some}
    return cel.NewEnv(messages.pool, variables=types)


def _json(value: object, text: str) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_json(each, text) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json(value[key], text) for key in sorted(value)}
    raise EvaluationFailed(f"`{text}` gives a {type(value).__name__}, which JSON has not")
