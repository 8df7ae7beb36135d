"""The calculator evaluates arithmetic, and nothing else."""

from __future__ import annotations

from fractions import Fraction

import pytest
from clawdbot_plugin_sdk import Context, ToolError
from clawdbot_plugins.builtin.arithmetic import CONSTANTS, FUNCTIONS
from clawdbot_plugins.builtin.calculator import plugin
from hypothesis import given
from hypothesis import strategies as st

from tests.support.processor_time import bounded

evaluate = plugin.tools["evaluate"]


async def evaluation(expression):
    return (await evaluate.invoke({"expression": expression}, Context())).structured


async def refusal(expression):
    with pytest.raises(ToolError) as caught:
        await evaluate.invoke({"expression": expression}, Context())
    return str(caught.value)


async def reply(expression):
    """The result or the error message."""
    try:
        return (await evaluate.invoke({"expression": expression}, Context())).text
    except ToolError as error:
        return str(error)


@pytest.mark.parametrize(
    ("expression", "text", "value"),
    [
        ("(3 + 4) * 2", "14", 14),
        ("0.1 + 0.2", "0.3", 0.3),
        ("2 ** 100", "1267650600228229401496703205376", 2.0**100),
        ("7 / 2", "3.5", 3.5),
        ("8 / 2", "4", 4),
        ("-7 // 2", "-4", -4),
        ("7 % 3", "1", 1),
        ("2 + 2 =", "4", 4),
        ("3 × 4 ÷ 2 − 1", "5", 5),
        ("sqrt(2)", "1.4142135623731", 1.4142135623731),
        ("round(2.567, 1)", "2.6", 2.6),
        ("max(1, 5, 3) - min(4, 2)", "3", 3),
        ("factorial(20)", "2432902008176640000", 2432902008176640000),
        ("sin(pi)", None, 0),
        ("1e300 * 1e5", "1e+305", 1e305),
        ("0 ** 1000000000", "0", 0),
        ("(-1) ** 1000000001", "-1", -1),
        ("2 ** -2", "0.25", 0.25),
        ("1_000 + 1", "1001", 1001),
    ],
)
async def test_it_evaluates(expression, text, value):
    found = await evaluation(expression)
    assert found["value"] == pytest.approx(value, rel=1e-13, abs=1e-12)
    if text is not None:
        assert found["text"] == text


TOO_LARGE = "The result, or an intermediate result, is too large."
NOT_REAL = "The result is not a real number."


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("9**9**9", TOO_LARGE),
        ("9.0**9**9", TOO_LARGE),
        ("2**1000000 - 2**1000000", TOO_LARGE),
        ("(2**999)*(2**999)", TOO_LARGE),
        ("1e999", TOO_LARGE),
        ("1e308 * 10", TOO_LARGE),
        ("factorial(1000000)", TOO_LARGE),
        ("factorial(1e300)", TOO_LARGE),
        ("exp(1000)", TOO_LARGE),
        ("round(5, -1000000000)", "round accepts at most 15 decimal places."),
        ("round(1.5, 1e300)", "round accepts at most 15 decimal places."),
        ("1 / 0", "Division by zero."),
        ("0 ** -1", "Division by zero."),
        ("5 % 0", "Division by zero."),
        ("sqrt(-1)", NOT_REAL),
        ("(-8) ** 0.5", NOT_REAL),
        ("log(0)", NOT_REAL),
        ("factorial(-1)", NOT_REAL),
        ("factorial(2.5)", NOT_REAL),
        ("2 ^ 3", "Write ** for powers; ^ is not supported."),
        ("1,000 + 1", "Write numbers without thousands separators: 1000, not 1,000."),
        ("3 > 2", "Comparisons are not supported; compute the difference instead."),
        ("", "The expression is empty."),
        ("   ", "The expression is empty."),
        ("two plus two", "That is not an arithmetic expression (example: (3 + 4) * 2)."),
        ("(1", "That is not an arithmetic expression (example: (3 + 4) * 2)."),
        ("1\0", "That is not an arithmetic expression (example: (3 + 4) * 2)."),
        ("20% of 50", "That is not an arithmetic expression (example: (3 + 4) * 2)."),
        ("1; 2", "That is not an arithmetic expression (example: (3 + 4) * 2)."),
        ("x = 1", "That is not an arithmetic expression (example: (3 + 4) * 2)."),
        ("sqrt()", "A function got too many or too few arguments, or arguments of the wrong kind."),
        ("sqrt(1, 2)", "A function got too many or too few arguments, or arguments of the wrong kind."),
        ("min(5)", "A function got too many or too few arguments, or arguments of the wrong kind."),
        ("gcd(1.5, 2)", "A function got too many or too few arguments, or arguments of the wrong kind."),
        ("1 + " * 200 + "1", "The expression has 801 characters; at most 500 are allowed."),
        ("(" * 60 + "1" + ")" * 60, "1"),
        ("(" * 249 + "1" + ")" * 249, "The expression is nested too deeply: at most 40 levels are allowed."),
        ("-" * 400 + "1", "The expression is nested too deeply: at most 40 levels are allowed."),
        ("+".join("1" * 60), "The expression is nested too deeply: at most 40 levels are allowed."),
        ("abs(" * 60 + "1" + ")" * 60, "The expression is nested too deeply: at most 40 levels are allowed."),
        ("1j * 1j", NOT_REAL),
        ("True + 1", "Only numbers are supported, not bool."),
        ("'a' * 10", "Only numbers are supported, not str."),
        ("None", "Only numbers are supported, not NoneType."),
    ],
)
async def test_an_expression_it_cannot_evaluate_is_refused_with_a_reason(expression, sentence):
    if sentence == "1":
        assert (await evaluation(expression))["text"] == "1"
    else:
        assert await refusal(expression) == sentence


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('id')",
        "().__class__.__bases__[0].__subclasses__()",
        "(1).__class__",
        "sqrt.__globals__",
        "[x for x in (1,)]",
        "lambda: 1",
        "f'{1}'",
        "{1: 2}[1]",
        "'a'.format(1)",
        "(lambda f: f(f))(lambda f: f(f))",
        "(x := 5)",
        "max(*(1, 2))",
        "max(a=1)",
        "1 if 1 else 2",
        "not 1",
        "~1",
        "1 << 1000000000",
        "1 and 2",
        "open",
        "sqrt",
        "int('9' * 10)",
        "max(1, key=abs)",
        "await 1",
    ],
)
async def test_what_is_not_arithmetic_is_refused(expression):
    assert "supported" in await refusal(expression) or "not" in await refusal(expression)


async def test_an_unknown_name_is_refused_with_the_known_ones():
    assert (await refusal("squareroot(2)")).startswith("Unknown function squareroot. Only numbers")
    assert (await refusal("x + 1")).startswith("Unknown name x. Only numbers")


NUMBERS = st.integers(0, 10**6).map(str)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda each: f"({' '.join(each)})"),
    max_leaves=12,
)


@given(EXPRESSIONS)
async def test_integers_are_exact(expression):
    assert int((await evaluation(expression))["text"]) == eval(expression)


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6))
async def test_a_quotient_is_correct_to_fifteen_digits(left, right):
    quotient = (await evaluation(f"{left} / {right}"))["value"]
    exact = Fraction(left, right)
    assert abs(Fraction(quotient) - exact) <= abs(exact) / 10**14


PIECES = [
    *"0123456789.+-*/%()",
    "**",
    "//",
    "e",
    "pi",
    ",",
    "1e9",
    "9" * 20,
    *(f"{name}(" for name in FUNCTIONS),
]


@given(st.lists(st.sampled_from(PIECES + list(CONSTANTS)), max_size=60).map("".join))
async def test_any_tokens_are_evaluated_or_refused_immediately(expression):
    with bounded():
        assert 0 < len(await reply(expression)) < 700


@given(st.text(max_size=600))
async def test_any_text_is_evaluated_or_refused(expression):
    assert 0 < len(await reply(expression)) < 700
