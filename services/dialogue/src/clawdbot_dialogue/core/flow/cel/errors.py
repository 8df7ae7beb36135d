"""Errors in expressions, translated from CEL's reports into words for a flow's author."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clawdbot_dialogue.core.flow.cel.report_words import LEVELS_HINT, syntax_words
from clawdbot_dialogue.core.flow.cel.types import Structure
from clawdbot_dialogue.core.flow.diagnostics import suggest

SCOPES = ("slots", "result", "event", "turn")
"""The names that expressions and templates can use."""
_TYPE_NAMES: Mapping[str, str] = {
    "int": "a whole number",
    "double": "a number",
    "bool": "true or false",
    "string": "text",
    "null": "nothing",
    "null_type": "nothing",
    "dyn": "anything",
    "uint": "a whole number without a sign",
    "bytes": "a sequence of bytes",
    "google.protobuf.Timestamp": "a timestamp",
    "timestamp": "a timestamp",
    "google.protobuf.Duration": "a duration",
    "duration": "a duration",
}
_OTHER_TYPE = "a value of another kind"
_MAX_PARTS = 8
"""Parts that a hint lists."""
_CONTAINER_NAMES = (("list", "a list"), ("map", "a mapping"), ("type", "a type"))


class ExpressionError(ValueError):
    """An expression that does not compile; `offset` is the index of the character that is wrong."""

    def __init__(self, code: str, message: str, hint: str = "", offset: int = 0) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        super().__init__(message)


_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?: \[[A-Z_]+\])?$", re.MULTILINE)
_OVERLOAD = re.compile(r"found no matching overload for '(.*)' applied to '\((.*)\)'")
_UNKNOWN_FIELD = re.compile(r"undefined field '(.*)' not found in struct '(.*)'")
_UNKNOWN_NAME = re.compile(r"undeclared reference to '([^']*)'")
_NO_PARTS = re.compile(r"expression of type '(.*)' cannot be the (operand of a select|range of a)")


def translate_error(
    text: str, report: str, structures: Mapping[str, Structure], root: str
) -> ExpressionError:
    """The error that CEL reports.

    Args:
        text: The expression.
        report: The text of CEL's exception.
        structures: The structures, by the names that the report has for them.
        root: The name of the structure that is `slots`.
    """
    found = _ERROR.search(report)
    if not found:
        return _syntax_error(text, report, 0)
    lines = text.split("\n")
    # Both are -1 for an error of the whole expression, such as too deep nesting.
    line, column = max(1, min(int(found[1]), len(lines))), max(1, int(found[2]))
    offset = min(sum(len(each) + 1 for each in lines[: line - 1]) + column - 1, len(text))
    problem = found[3]
    if overload := _OVERLOAD.match(problem):
        return _type_error(overload[1], list(_operand_types(overload[2])), structures, offset)
    if field := _UNKNOWN_FIELD.match(problem):
        at = max(text.find(field[1], offset), offset)
        structure = structures[field[2]]
        owner = (
            "There is no slot" if field[2] == root else f"{capitalized(structure.description)} has no part"
        )
        hint = suggest(field[1], structure.parts)
        return ExpressionError("undeclared-slot", f'{owner} "{field[1]}".', hint, at)
    if name := _UNKNOWN_NAME.match(problem):
        at = text.rfind(name[1], 0, offset + len(name[1]))
        declared = name[1] in structures[root].parts
        *others, last = SCOPES
        hint = (
            f"Write slots.{name[1]}."
            if declared
            else f"An expression can use {', '.join(others)} and {last}."
        )
        message = f'"{name[1]}" is not defined here.'
        return ExpressionError("guard-type", message, hint, at if at >= 0 else offset)
    if parts := _NO_PARTS.match(problem):
        problem = "has no named parts" if parts[2].startswith("operand") else "is not a list"
        message = f"{capitalized(describe_type(parts[1], structures))} {problem}."
        return ExpressionError("guard-type", message, "", offset)
    return _syntax_error(text, problem.split(" expecting ")[0], offset)


def describe_type(name: str, structures: Mapping[str, Structure]) -> str:
    """A type by CEL's name for it, for an author: "a whole number"."""
    if name in structures:
        return structures[name].description
    container = next((words for start, words in _CONTAINER_NAMES if name.startswith(start)), _OTHER_TYPE)
    return _TYPE_NAMES.get(name, container)


def capitalized(words: str) -> str:
    """The words with the first letter in upper case, the others as they are."""
    return words[:1].upper() + words[1:]


def _syntax_error(text: str, problem: str, offset: int) -> ExpressionError:
    words = syntax_words(problem)
    hint = LEVELS_HINT if "levels" in words else _syntax_hint(text)
    return ExpressionError("guard-syntax", f"The expression is not valid CEL: {words}.", hint, offset)


def _syntax_hint(text: str) -> str:
    for wrong, right in ((" and ", "&&"), (" or ", "||"), ("not ", "!")):
        if wrong in f" {text} ":
            return f"Write {right} instead of `{wrong.strip()}`."
    if re.search(r"[^=!<>]=[^=]", text):
        return "Write == to compare."
    return ""


def _operand_types(signature: str) -> Iterator[str]:
    """The types in "string, map(string, double)"."""
    start = depth = 0
    for at, char in enumerate(f"{signature},"):
        depth += (char in "(<") - (char in ")>")
        if char == "," and not depth:
            yield signature[start:at].strip()
            start = at + 1


def _type_error(
    operator: str, types: list[str], structures: Mapping[str, Structure], offset: int
) -> ExpressionError:
    descriptions = [describe_type(each, structures) for each in types]
    shown = (operator.strip("_").replace("_", " ") if "_" in operator else operator).removeprefix("@")
    message = f"`{shown}` cannot be applied to {' and '.join(descriptions)}."
    structure = next((structures[each] for each in types if each in structures), None)
    hint = "Compare a number slot with 3.0 rather than 3." if set(types) == {"double", "int"} else ""
    if operator == "_?_:_":
        hint = "Both values must have one type; wrap one of them in dyn(…) to allow two."
    elif structure:
        names = [f".{name}" for name in structure.parts][:_MAX_PARTS]
        hint = f"Use its parts: {', '.join(names)}." if names else ""
    return ExpressionError("guard-type", message, hint, offset)
