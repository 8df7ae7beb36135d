"""Arithmetic with bounded cost: the size of every operand and every result is limited."""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable
from typing import Any, Final

MAX_BITS: Final = 1000
"""Of an integer: about 300 digits, just below the largest double."""
MAX_FACTORIAL: Final = 150
MAX_DECIMAL_PLACES: Final = 15
"""Decimal places that round accepts; with a billion of them it would run for hours."""

Number = int | float
Function = Callable[..., Any]


class EvaluationError(Exception):
    """The expression cannot be evaluated. The text is a sentence for the model."""


def check_bounds(value: Any) -> Number:
    """Returns the value if it is a real number within the limits. EvaluationError otherwise."""
    if isinstance(value, complex):
        raise EvaluationError("The result is not a real number.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EvaluationError(f"Only numbers are supported, not {type(value).__name__}.")
    if (isinstance(value, int) and value.bit_length() > MAX_BITS) or not math.isfinite(value):
        raise EvaluationError("The result, or an intermediate result, is too large.")
    return value


def _bounded(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*numbers: Any) -> Number:
        return check_bounds(function(*map(check_bounds, numbers)))

    return inner


def _power(base: Number, exponent: Number) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        # |base| is at least 2 to the power of bit_length - 1.
        if (base.bit_length() - 1) * exponent > MAX_BITS:
            raise OverflowError
        if abs(base) <= 1:
            return base if exponent % 2 else abs(base)
    return base**exponent


def _round(number: Number, places: int = 0) -> Number:
    if abs(places) > MAX_DECIMAL_PLACES:
        raise EvaluationError(f"round accepts at most {MAX_DECIMAL_PLACES} decimal places.")
    return round(number, places) if places else round(number)


def _factorial(number: Number) -> int:
    if number > MAX_FACTORIAL:
        raise OverflowError
    if not float(number).is_integer():
        raise ValueError
    return math.factorial(int(number))


OPERATORS: Final[dict[type[ast.AST], Function]] = {
    ast.Add: _bounded(operator.add),
    ast.Sub: _bounded(operator.sub),
    ast.Mult: _bounded(operator.mul),
    ast.Div: _bounded(operator.truediv),
    ast.FloorDiv: _bounded(operator.floordiv),
    ast.Mod: _bounded(operator.mod),
    ast.Pow: _bounded(_power),
    ast.USub: _bounded(operator.neg),
    ast.UAdd: _bounded(operator.pos),
}

FUNCTIONS: Final[dict[str, Function]] = {
    "abs": _bounded(abs),
    "min": _bounded(min),
    "max": _bounded(max),
    "round": _bounded(_round),
    "factorial": _bounded(_factorial),
    **{
        name: _bounded(getattr(math, name))
        for name in (
            *("floor", "ceil", "trunc", "sqrt", "cbrt", "exp", "log", "log2", "log10", "hypot", "gcd", "lcm"),
            *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "degrees", "radians"),
        )
    },
}

CONSTANTS: Final[dict[str, float]] = {"pi": math.pi, "e": math.e, "tau": math.tau}
