"""What is wrong with an expression is said in our own words, whatever the library reports."""

from __future__ import annotations

import re

import pytest
from clawdbot_dialogue.core.flow.cel.errors import ExpressionError
from clawdbot_dialogue.core.flow.cel.expressions import Activation, EvaluationError, ExpressionCompiler

LIBRARY = re.compile(
    r"recursion|recognition|mismatched|extraneous|viable|literal|identifier|overload|container|non-message"
    r"|Index error|in map :|budget|conversion|[A-Z]{3}_|protobuf|[._@]_|<\w+>|\.\."
)
"""Words of the library."""
UNREADABLE = (
    *(
        "'abc",
        '"abc',
        "`a",
        "1 +",
        "",
        " ",
        "// x",
        "(1",
        "[1",
        "{",
        "{1}",
        "slots.",
        "slots..n",
        "a b",
        "1 === 1",
    ),
    *(
        "'a' 'b'",
        "slots.n <> 1",
        "slots.n;1",
        "slots#n",
        "@",
        "0x",
        "1e",
        "1.2.3",
        "slots.?n",
        "as == 1",
        "let x = 1",
    ),
    *(
        "99999999999999999999",
        "0xFFFFFFFFFFFFFFFFFF",
        "'\\q' == ''",
        "'\\u12' == ''",
        "r'\\'",
        "has(1)",
        "has(slots)",
    ),
    *(
        "[1].map(1, true)",
        "[1].exists(slots.n, true)",
        "f(,)",
        "!",
        "\u00e9",
        "flow.s0{}",
        "b'x'",
        "1u == 1",
        "type(1)",
    ),
    *(
        "timestamp('x')",
        "duration('x') == 1",
        "slots.s in slots.n",
        "[1].filter(x)",
        "slots.s.foo()",
        "size(1)",
    ),
)
DEEP = (
    *(
        "[1]" + ".map(a, [a, a])" * 40 + ".size() > 0",
        "[" * 32 + "1" + "]" * 32 + " == []",
        "(" * 40 + "true" + ")" * 40,
    ),
    *(
        "[" * 200,
        "1" + " + 1" * 60 + " > 0",
        "slots.n == 1 ? true : " * 35 + "true",
        "slots" + ".n" * 40 + " == 1",
    ),
    *(
        "{'a': " * 34 + "1" + "}" * 34 + " == 1",
        "dyn(" * 35 + "1" + ")" * 35 + " == 1",
        "dyn(slots)" + "[0]" * 40 + " == 1",
    ),
)
VALUELESS = (
    *(
        "1 / 0",
        "1 % 0",
        "dyn(slots).zz",
        "dyn([1])[5]",
        "[1][-1]",
        "dyn([1])['a']",
        "dyn(1)[0]",
        "dyn('a').b",
        "dyn(null).x",
    ),
    *(
        "int('x')",
        "bool('x')",
        "int(1e30)",
        "9223372036854775807 + 1",
        "dyn('a') + dyn(1)",
        "-dyn('a')",
        "!dyn(1)",
    ),
    *("dyn('x') && true", "dyn('x') ? 1 : 2", "dyn(1).all(x, true)", "size(dyn(1))"),
    *(
        "dyn(1).startsWith('a')",
        "'a' < dyn(1)",
        "string(dyn([1]))",
        "{dyn(1.5): 1}",
        "{1: 1}",
        "'a' in dyn(1)",
    ),
    *("timestamp('x') == timestamp('y')", "timestamp('2020-01-01T00:00:00Z').getHours('Foo/Bar')"),
)


@pytest.fixture
def compiler():
    return ExpressionCompiler({"n": "int", "s": "string"})


@pytest.mark.parametrize("text", UNREADABLE)
def test_an_expression_that_does_not_compile_is_explained_in_our_words(compiler, text):
    with pytest.raises(ExpressionError) as caught:
        compiler.guard(text)
    assert not LIBRARY.search(caught.value.message.replace("`..`", "")), caught.value.message
    assert "``" not in caught.value.message
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("text", DEEP)
def test_an_expression_with_too_many_levels_says_how_many_and_what_to_do(compiler, text):
    with pytest.raises(ExpressionError) as caught:
        compiler.guard(text)
    assert caught.value.code == "guard-syntax"
    assert caught.value.message == "The expression is not valid CEL: it has more than 32 levels."
    assert "`set`" in caught.value.hint


@pytest.mark.parametrize("text", VALUELESS)
def test_an_expression_without_a_value_is_explained_in_our_words(compiler, text):
    scope = {"slots": {"n": 1, "s": "x"}, "result": {}, "event": {}, "turn": {}}
    with pytest.raises(EvaluationError) as caught:
        compiler.argument(text).value(Activation(scope))
    words = str(caught.value).replace(f"`{text}`", "", 1)
    assert not LIBRARY.search(words), words
    assert words != ": it has no value"
