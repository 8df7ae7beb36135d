"""Arithmetic that cannot run away: every number that goes into an operator or comes out of it is bounded."""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable
from typing import Any, Final

MOST_BITS: Final = 1000
"""Of a whole number: about 300 digits, just below the largest double."""
LARGEST_FACTORIAL: Final = 150
MOST_PLACES: Final = 15
"""Decimal places that round takes; with a thousand million of them it would compute for hours."""

Number = int | float
Function = Callable[..., Any]


class NotArithmetic(Exception):
    """The text is a sentence for the model."""


def bounded(value: Any) -> Number:
    """The value, if it is a real number of a sane size. NotArithmetic otherwise."""
    if isinstance(value, complex):
        raise NotArithmetic("That has no result among the real numbers.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotArithmetic(f"Only numbers are worked out, not {type(value).__name__}.")
    if (isinstance(value, int) and value.bit_length() > MOST_BITS) or not math.isfinite(value):
        raise NotArithmetic("The result, or a number on the way to it, is too large.")
    return value


def _bounding(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*numbers: Any) -> Number:
        return bounded(function(*map(bounded, numbers)))

    return inner


def _power(base: Number, exponent: Number) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        # |base| is at least 2 to the power of bit_length - 1.
        if (base.bit_length() - 1) * exponent > MOST_BITS:
            raise OverflowError
        if abs(base) <= 1:
            return base if exponent % 2 else abs(base)
    return base**exponent


def _round(number: Number, places: int = 0) -> Number:
    if abs(places) > MOST_PLACES:
        raise NotArithmetic(f"round takes at most {MOST_PLACES} places.")
    return round(number, places) if places else round(number)


def _factorial(number: Number) -> int:
    if number > LARGEST_FACTORIAL:
        raise OverflowError
    if not float(number).is_integer():
        raise ValueError
    return math.factorial(int(number))


OPERATORS: Final[dict[type[ast.AST], Function]] = {
    ast.Add: _bounding(operator.add),
    ast.Sub: _bounding(operator.sub),
    ast.Mult: _bounding(operator.mul),
    ast.Div: _bounding(operator.truediv),
    ast.FloorDiv: _bounding(operator.floordiv),
    ast.Mod: _bounding(operator.mod),
    ast.Pow: _bounding(_power),
    ast.USub: _bounding(operator.neg),
    ast.UAdd: _bounding(operator.pos),
}

FUNCTIONS: Final[dict[str, Function]] = {
    "abs": _bounding(abs),
    "min": _bounding(min),
    "max": _bounding(max),
    "round": _bounding(_round),
    "factorial": _bounding(_factorial),
    **{
        name: _bounding(getattr(math, name))
        for name in (
            *("floor", "ceil", "trunc", "sqrt", "cbrt", "exp", "log", "log2", "log10", "hypot", "gcd", "lcm"),
            *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "degrees", "radians"),
        )
    },
}

CONSTANTS: Final[dict[str, float]] = {"pi": math.pi, "e": math.e, "tau": math.tau}
