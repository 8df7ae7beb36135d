"""The calculator: one tool that evaluates arithmetic, for models that would otherwise guess.

The expression comes from a model, so it is untrusted input. Only numbers, operators and a few functions are
allowed, every intermediate result is bounded, and no evaluation can take long.
"""

from __future__ import annotations

import ast
import warnings
from typing import Annotated, Any, Final

from clawdbot_plugin_sdk import Plugin, ToolError
from pydantic import BaseModel, Field
from simpleeval import SimpleEval  # type: ignore[import-untyped]  # no py.typed

from clawdbot_plugins.builtin.arithmetic import CONSTANTS, FUNCTIONS, OPERATORS, EvaluationError, check_bounds

MAX_EXPRESSION_LENGTH: Final = 500
"""Characters of an expression."""
MAX_DEPTH: Final = 40
"""Nesting levels of parentheses, signs and calls."""
SIGNIFICANT_DIGITS: Final = 15
"""Results are rounded to the precision of a double, so that 0.1 + 0.2 is 0.3."""
MAX_EXACT_INTEGER: Final = 2**53
"""Up to this limit a double represents every integer exactly."""

ALLOWED_NODES: Final = (
    *(ast.BinOp, ast.UnaryOp, ast.Call, ast.Constant, ast.Name, ast.Load),
    *OPERATORS,
)
SUGGESTIONS: Final[dict[type[ast.AST], str]] = {
    ast.BitXor: "Write ** for powers; ^ is not supported.",
    ast.Tuple: "Write numbers without thousands separators: 1000, not 1,000.",
    ast.Compare: "Comparisons are not supported; compute the difference instead.",
}
"""What to write instead of some unsupported syntax that models use."""
SUPPORTED_SYNTAX: Final = (
    f"Only numbers, the operators + - * / // % **, parentheses, the constants {', '.join(CONSTANTS)} and the "
    f"functions {', '.join(FUNCTIONS)} are supported."
)
TYPOGRAPHIC_OPERATORS: Final = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})

plugin = Plugin("calculator", version="1.0.0", description="Evaluates arithmetic.")


class Evaluation(BaseModel):
    """The value of an expression."""

    text: str = Field(description="The result; all digits if it is an integer.")
    value: int | float = Field(description="The same as a number.")


@plugin.tool(effect="none", timeout="2s")
async def evaluate(
    expression: Annotated[str, Field(description="For example (3 + 4) * 2, 2 ** 10 or sqrt(2) / 3.")],
) -> Evaluation:
    """Evaluate an arithmetic expression exactly. Use it for every calculation, however small.

    Supports + - * / // % ** and parentheses, pi and e, and functions such as sqrt, round, min, max, sin, log,
    factorial.
    """
    try:
        result = _evaluate(_parse(expression))
    except EvaluationError as error:
        raise ToolError(str(error)) from None
    return _to_evaluation(result)


def _parse(expression: str) -> ast.expr:
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise EvaluationError(
            f"The expression has {len(expression)} characters; at most {MAX_EXPRESSION_LENGTH} are allowed."
        )
    text = expression.translate(TYPOGRAPHIC_OPERATORS).strip().removesuffix("=").strip()
    if not text:
        raise EvaluationError("The expression is empty.")
    try:
        with warnings.catch_warnings():
            # A SyntaxWarning would quote the expression in the log.
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except (RecursionError, MemoryError):
        raise _too_deep() from None
    except (SyntaxError, ValueError) as error:
        if "too many nested" in str(error):
            raise _too_deep() from None
        raise EvaluationError("That is not an arithmetic expression (example: (3 + 4) * 2).") from None
    _check(tree)
    return tree


def _check(tree: ast.expr) -> None:
    """Refuses everything that is not arithmetic before any of it is evaluated."""
    pending: list[tuple[ast.AST, int]] = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if not isinstance(node, ALLOWED_NODES):
            raise EvaluationError(SUGGESTIONS.get(type(node), SUPPORTED_SYNTAX))
        if isinstance(node, ast.Constant):
            check_bounds(node.value)
        if isinstance(node, ast.Call):
            _check_call(node)
            pending += [(argument, depth + 1) for argument in node.args]
        elif isinstance(node, ast.Name) and node.id not in CONSTANTS:
            raise EvaluationError(f"Unknown name {node.id[:40]}. {SUPPORTED_SYNTAX}")
        else:
            pending += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _check_call(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise EvaluationError(SUPPORTED_SYNTAX)
    if node.func.id not in FUNCTIONS:
        raise EvaluationError(f"Unknown function {node.func.id[:40]}. {SUPPORTED_SYNTAX}")


def _evaluate(tree: ast.expr) -> int | float:
    evaluator: Any = SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names=CONSTANTS)
    try:
        return check_bounds(evaluator.eval("", previously_parsed=tree))
    except ZeroDivisionError:
        raise EvaluationError("Division by zero.") from None
    except OverflowError:
        raise EvaluationError("The result, or an intermediate result, is too large.") from None
    except TypeError:
        raise EvaluationError(
            "A function got too many or too few arguments, or arguments of the wrong kind."
        ) from None
    except ValueError:
        raise EvaluationError("The result is not a real number.") from None


def _to_evaluation(result: float) -> Evaluation:
    if isinstance(result, int):
        return Evaluation(text=str(result), value=result)
    value = float(f"{result:.{SIGNIFICANT_DIGITS}g}")
    whole = value.is_integer() and abs(value) < MAX_EXACT_INTEGER
    return _to_evaluation(int(value)) if whole else Evaluation(text=repr(value), value=value)


def _too_deep() -> EvaluationError:
    return EvaluationError(f"The expression is nested too deeply: at most {MAX_DEPTH} levels are allowed.")
