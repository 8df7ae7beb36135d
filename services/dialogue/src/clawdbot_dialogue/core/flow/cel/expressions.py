"""CEL expressions: guards, call arguments and patterns, compiled once per flow, checked against its slots.

There are two environments. The checking one knows the type of each slot, as a field of a message made for
the flow, so that a wrong name or type is found before anything runs. The runtime one sees plain maps, so that
a slot without a value is an evaluation error (in a message it would silently be 0 or "") and `has(slots.x)`
tests for it. The library bounds evaluation: 32 levels, a budget of iterations, and RE2 for `matches`, which
takes linear time. cost.py bounds how values grow.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, but no py.typed

from clawdbot_dialogue.core.flow.cel.cost import (
    SizeLimit,
    TooCostly,
    constant_patterns,
    has_loops,
    size_limit,
)
from clawdbot_dialogue.core.flow.cel.errors import (
    ExpressionError,
    describe_type,
    translate_error,
)
from clawdbot_dialogue.core.flow.cel.fast_path import FastPath, fast_path_for, no_fast_path
from clawdbot_dialogue.core.flow.cel.report_words import evaluation_words
from clawdbot_dialogue.core.flow.cel.types import CelType, MessageTypes, Structure
from clawdbot_dialogue.core.flow.patterns import EVALUATED, FlowPatterns, PatternError

MAX_EXPRESSION_LENGTH = 1000
"""Characters."""
MAX_LIMITS = 1000
"""Different expressions with loops in one flow: estimating what they cost takes up to two seconds."""
RESERVED_WORDS = frozenset(
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
"""Words that CEL reserves: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax."""


class EvaluationError(ValueError):
    """An expression that has no value in this scope: an empty slot, a division by zero, a wrong type."""


class Activation:
    """A scope that expressions are evaluated in; reuse it while the scope does not change."""

    __slots__ = ("_converted", "scope")

    def __init__(self, scope: Mapping[str, object]) -> None:
        self.scope = scope
        self._converted: Any = None

    @property
    def cel_activation(self) -> Any:
        """The scope converted to CEL's form, at the first use."""
        if self._converted is None:
            self._converted = _runtime_environment().Activation(self.scope)
        return self._converted


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    text: str
    return_type: str
    """CEL's name of the type: "bool", "int", "double", "string", "dyn", "list<dyn>", …; for a structure, the
    name of its message: "flow.s1"."""
    program: Any
    fast_path: FastPath = no_fast_path
    """Evaluates without the program, where that is possible."""
    limit: SizeLimit | None = None
    """How large the values may be that it reads; None if it has no loops."""

    def holds(self, activation: Activation) -> bool:
        """Whether a guard is true.

        Raises:
            EvaluationError: it is neither true nor false.
        """
        value = self.fast_path(activation.scope)
        if value is None:
            value = self._evaluate(activation)
        if value is True or value is False:
            return bool(value)
        raise EvaluationError(f"`{self.text}` is neither true nor false")

    def value(self, activation: Activation) -> object:
        """Its value as JSON.

        Raises:
            EvaluationError: it has no value, or one that JSON cannot represent.
        """
        value = self.fast_path(activation.scope)
        return _to_json(self._evaluate(activation), self.text) if value is None else value

    def _evaluate(self, activation: Activation) -> object:
        if self.limit and not self.limit.allows(activation.scope):
            raise EvaluationError(f"`{self.text}`: a value is too large to loop over")
        try:
            result = self.program.eval(activation.cel_activation)
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationError(f"`{self.text}`: {evaluation_words(str(error))}") from None
        value = result.plain_value()
        # The plain value of an error is its message.
        if isinstance(value, str) and result.type() == cel.Type.ERROR:
            raise EvaluationError(f"`{self.text}`: {evaluation_words(value)}")
        return value


_NOT_COVERED_BY_CHECK = re.compile(r"\{|\bslots\b(?!\s*\.\s*\w)|\bflow\b")


class _DeferredProgram:
    """A program that is compiled when it first runs."""

    __slots__ = ("_compiled", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._compiled: Any = None

    def eval(self, activation: Any) -> Any:
        """The program's result."""
        if self._compiled is None:
            self._compiled = _runtime_environment().compile(self._text)
        return self._compiled.eval(activation)


class ExpressionCompiler:
    """Compiles the expressions of one flow."""

    def __init__(self, slots: Mapping[str, CelType]) -> None:
        """Takes the declared slots and their types."""
        messages = MessageTypes(Structure(slots, "the slots"))
        self._root = messages.root
        self._structures = messages.structures
        self._environment = _checking_environment(messages)
        self.patterns = FlowPatterns()
        """Those of the whole flow."""
        self._limits = 0
        """How many different expressions with loops there are."""
        self._compiled: dict[str, Expression] = {}
        """By text: many states of a large flow have the same guard."""

    def guard(self, text: str) -> Expression:
        """Compiles an expression that must be true or false.

        Raises:
            ExpressionError: with code guard-syntax, guard-type, guard-cost or undeclared-slot.
        """
        expression = self.argument(text)
        if expression.return_type not in ("bool", "dyn"):
            what = describe_type(expression.return_type, self._structures)
            hint = "Compare it, as in `slots.party_size > 8`, or test for a value with has(slots.x)."
            raise ExpressionError("guard-type", f"A guard must be true or false; this is {what}.", hint)
        return expression

    def argument(self, text: str) -> Expression:
        """Compiles an expression of any type that JSON can represent.

        Raises:
            ExpressionError: with code guard-syntax, guard-type, guard-cost or undeclared-slot.
        """
        if text in self._compiled:
            return self._compiled[text]
        if len(text) > MAX_EXPRESSION_LENGTH:
            message = (
                f"The expression has {len(text):,} characters; at most {MAX_EXPRESSION_LENGTH:,} are allowed."
            )
            raise ExpressionError("guard-syntax", message)
        try:
            checking = self._environment.compile(text)
            checked = checking.return_type()
            # The check sees slots as messages. An expression that builds or names a message, or uses all
            # slots as one value, may pass it and still not compile for run time, so it is compiled now. All
            # others compile when they first run: linting a flow then takes half the time.
            deferred = not _NOT_COVERED_BY_CHECK.search(text)
            program = _DeferredProgram(text) if deferred else _runtime_environment().compile(text)
        except RuntimeError as error:
            raise translate_error(text, str(error), self._structures, self._root) from None
        name = str(checked.name()).lower()
        if name.partition("<")[0] in ("bytes", "timestamp", "duration", "type"):
            hint = "Dates and times are text here: compare them as text, or use string(…)."
            raise ExpressionError(
                "guard-type", f"An expression cannot return {describe_type(name, {})}.", hint
            )
        pattern_size = self._pattern_size(checking) if "matches" in text else 0
        limit = self._limit(checking, pattern_size) if has_loops(text) else None
        self._compiled[text] = Expression(text, name, program, fast_path_for(text), limit)
        return self._compiled[text]

    def _pattern_size(self, program: Any) -> int:
        """The size of an expression's largest pattern."""
        largest = 0
        for text in constant_patterns(program):
            if text is None:
                message = "The pattern of matches must be written in the expression."
                hint = "Write it in quotes: slots.code.matches('[A-Z]+')."
                raise ExpressionError("guard-cost", message, hint)
            try:
                largest = max(largest, self.patterns.compile(text, EVALUATED).size)
            except PatternError as error:
                raise ExpressionError(f"guard-{error.kind}", error.message, error.hint) from None
        return largest

    def _limit(self, program: Any, pattern_size: int) -> SizeLimit | None:
        if self._limits == MAX_LIMITS:
            message = f"The flow has too many expressions with loops; at most {MAX_LIMITS:,} are allowed."
            raise ExpressionError("guard-cost", message, "Let a tool compute them.")
        try:
            limit = size_limit(program, pattern_size)
        except TooCostly:
            hint = "Use fewer loops (map, filter, all, exists) in each other, or let a tool compute it."
            message = "The expression could take too long: its loops multiply."
            raise ExpressionError("guard-cost", message, hint) from None
        self._limits += limit is not None
        return limit


@functools.cache
def _runtime_environment() -> Any:
    """The environment that all expressions run in; created at the first use, since it takes 50 ms."""
    any_map = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    types = {"slots": any_map, "result": cel.Type.DYN, "event": any_map, "turn": any_map}
    return cel.NewEnv(variables=types)


def _checking_environment(messages: MessageTypes) -> Any:
    any_map = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    types = {"slots": cel.Type(messages.root), "result": cel.Type.DYN, "event": any_map, "turn": any_map}
    return cel.NewEnv(messages.pool, variables=types)


def _to_json(value: object, text: str) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_to_json(each, text) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _to_json(value[key], text) for key in sorted(value)}
    raise EvaluationError(f"`{text}` gives a value that JSON cannot represent")
