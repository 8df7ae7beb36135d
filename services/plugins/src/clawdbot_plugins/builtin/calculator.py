"""The calculator: one tool that works out arithmetic, for models that would otherwise guess.

The expression comes from a model, which a stranger may have talked into anything. So only numbers,
operators and a few functions are let through, every intermediate result is bounded, and nothing here can
take long.
"""

from __future__ import annotations

import ast
import warnings
from typing import Annotated, Any, Final

from clawdbot_plugin_sdk import Plugin, ToolError
from pydantic import BaseModel, Field
from simpleeval import SimpleEval  # type: ignore[import-untyped]  # no py.typed

from clawdbot_plugins.builtin.arithmetic import CONSTANTS, FUNCTIONS, OPERATORS, NotArithmetic, bounded

LONGEST: Final = 500
"""Characters of an expression."""
DEEPEST: Final = 40
"""Levels of parentheses, signs and calls within each other."""
DIGITS: Final = 15
"""Significant digits that a double is good for: 0.1 + 0.2 is 0.3."""
EXACT: Final = 2**53
"""Up to here a double holds every whole number."""

ALLOWED: Final = (
    *(ast.BinOp, ast.UnaryOp, ast.Call, ast.Constant, ast.Name, ast.Load),
    *OPERATORS,
)
INSTEAD: Final[dict[type[ast.AST], str]] = {
    ast.BitXor: "Write ** for powers; ^ is not understood.",
    ast.Tuple: "Write numbers without separators: 1000, not 1,000.",
    ast.Compare: "Comparisons are not worked out; ask for the difference.",
}
"""What a model that wrote something else had probably in mind."""
OTHERWISE: Final = (
    f"Only numbers, the operators + - * / // % **, parentheses, the names {', '.join(CONSTANTS)} and the "
    f"functions {', '.join(FUNCTIONS)} are understood."
)
AS_TYPED: Final = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})

plugin = Plugin("calculator", version="1.0.0", description="Works out arithmetic.")


class Answer(BaseModel):
    """What an expression comes to."""

    text: str = Field(description="The result; every digit of it where it is a whole number.")
    value: int | float = Field(description="The same as a number.")


@plugin.tool(effect="none", timeout="2s")
async def evaluate(
    expression: Annotated[str, Field(description="Such as (3 + 4) * 2, 2 ** 10 or sqrt(2) / 3.")],
) -> Answer:
    """Work out an arithmetic expression exactly. Use it for every sum, however small.

    Knows + - * / // % ** and parentheses, pi and e, and functions such as sqrt, round, min, max, sin, log,
    factorial.
    """
    try:
        result = _result(_parsed(expression))
    except NotArithmetic as error:
        raise ToolError(str(error)) from None
    return _answer(result)


def _parsed(expression: str) -> ast.expr:
    if len(expression) > LONGEST:
        raise NotArithmetic(f"The expression is too long: {len(expression)} characters of {LONGEST}.")
    text = expression.translate(AS_TYPED).strip().removesuffix("=").strip()
    if not text:
        raise NotArithmetic("There is nothing to work out: the expression is empty.")
    try:
        with warnings.catch_warnings():
            # They would repeat the expression in the log.
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except (RecursionError, MemoryError):
        raise _too_deep() from None
    except (SyntaxError, ValueError) as error:
        if "too many nested" in str(error):
            raise _too_deep() from None
        raise NotArithmetic("That is not an expression such as (3 + 4) * 2.") from None
    _check(tree)
    return tree


def _check(tree: ast.expr) -> None:
    """Refuses whatever is not arithmetic before any of it is worked out."""
    found: list[tuple[ast.AST, int]] = [(tree, 1)]
    while found:
        node, depth = found.pop()
        if depth > DEEPEST:
            raise _too_deep()
        if not isinstance(node, ALLOWED):
            raise NotArithmetic(INSTEAD.get(type(node), OTHERWISE))
        if isinstance(node, ast.Constant):
            bounded(node.value)
        if isinstance(node, ast.Call):
            _check_call(node)
            found += [(argument, depth + 1) for argument in node.args]
        elif isinstance(node, ast.Name) and node.id not in CONSTANTS:
            raise NotArithmetic(f"There is no name {node.id[:40]}. {OTHERWISE}")
        else:
            found += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _check_call(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise NotArithmetic(OTHERWISE)
    if node.func.id not in FUNCTIONS:
        raise NotArithmetic(f"There is no function {node.func.id[:40]}. {OTHERWISE}")


def _result(tree: ast.expr) -> int | float:
    evaluator: Any = SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names=CONSTANTS)
    try:
        return bounded(evaluator.eval("", previously_parsed=tree))
    except ZeroDivisionError:
        raise NotArithmetic("That divides by zero.") from None
    except OverflowError:
        raise NotArithmetic("The result, or a number on the way to it, is too large.") from None
    except TypeError:
        raise NotArithmetic("A function was given too many or too few numbers, or the wrong kind.") from None
    except ValueError:
        raise NotArithmetic("That has no result among the real numbers.") from None


def _answer(result: float) -> Answer:
    if isinstance(result, int):
        return Answer(text=str(result), value=result)
    value = float(f"{result:.{DIGITS}g}")
    whole = value.is_integer() and abs(value) < EXACT
    return _answer(int(value)) if whole else Answer(text=repr(value), value=value)


def _too_deep() -> NotArithmetic:
    return NotArithmetic(f"The expression is nested too deeply: more than {DEEPEST} levels.")
