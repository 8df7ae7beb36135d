"""What is wrong with an expression, in this language's words rather than CEL's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clawdbot_dialogue.core.flow.cel.types import Structure
from clawdbot_dialogue.core.flow.diagnostics import nearest

SCOPES = ("slots", "result", "event", "turn")
"""The names that expressions and templates see."""
_PLAIN_WORDS: Mapping[str, str] = {
    "int": "a whole number",
    "double": "a number",
    "bool": "true or false",
    "string": "text",
    "null": "nothing",
    "null_type": "nothing",
    "dyn": "anything",
}
_MOST_PARTS = 8
"""That a hint lists."""
_MADE_WORDS = (("list", "a list"), ("map", "a mapping"))


class ExpressionFault(ValueError):
    """An expression that cannot be compiled; `offset` counts its characters from 0."""

    def __init__(self, code: str, message: str, hint: str = "", offset: int = 0) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        super().__init__(message)


_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?: \[[A-Z_]+\])?$", re.MULTILINE)
_OVERLOAD = re.compile(r"found no matching overload for '(.*)' applied to '\((.*)\)'")
_FIELD_FAULT = re.compile(r"undefined field '(.*)' not found in struct '(.*)'")
_NAME_FAULT = re.compile(r"undeclared reference to '([^']*)'")
_NO_PARTS = re.compile(r"expression of type '(.*)' cannot be the (?:operand of a select|range of a)")


def fault(text: str, report: str, structures: Mapping[str, Structure], root: str) -> ExpressionFault:
    """The fault that CEL reports.

    Args:
        text: The expression.
        report: Its exception's words.
        structures: By the names that the report has for them.
        root: The name of the one that is `slots`.
    """
    found = _ERROR.search(report)
    if not found:
        return ExpressionFault("guard-syntax", f"The expression cannot be read: {without_code(report)}.")
    lines = text.split("\n")
    # Both are -1 for a fault of the whole, such as too much nesting.
    line, column = max(1, min(int(found[1]), len(lines))), max(1, int(found[2]))
    offset = min(sum(len(each) + 1 for each in lines[: line - 1]) + column - 1, len(text))
    problem = found[3]
    if overload := _OVERLOAD.match(problem):
        return _type_fault(overload[1], list(_operands(overload[2])), structures, offset)
    if field := _FIELD_FAULT.match(problem):
        place = max(text.find(field[1], offset), offset)
        structure = structures[field[2]]
        owner = "There is no slot" if field[2] == root else f"{sentence(structure.called)} has no part"
        hint = nearest(field[1], structure.parts)
        return ExpressionFault("undeclared-slot", f'{owner} "{field[1]}".', hint, place)
    if name := _NAME_FAULT.match(problem):
        place = text.rfind(name[1], 0, offset + len(name[1]))
        declared = name[1] in structures[root].parts
        hint = f"Write slots.{name[1]}." if declared else f"An expression sees {', '.join(SCOPES)}."
        message = f'"{name[1]}" means nothing here.'
        return ExpressionFault("guard-type", message, hint, place if place >= 0 else offset)
    if parts := _NO_PARTS.match(problem):
        message = f"{sentence(in_words(parts[1], structures))} has no parts to look at here."
        return ExpressionFault("guard-type", message, "", offset)
    problem = problem.removeprefix("Syntax error: ").split(" expecting ")[0].replace("'<EOF>'", "its end")
    return ExpressionFault(
        "guard-syntax", f"The expression cannot be read: {problem}.", _syntax_hint(text), offset
    )


def in_words(kind: str, structures: Mapping[str, Structure]) -> str:
    """A type by CEL's name for it, for an author: "a whole number"."""
    if kind in structures:
        return structures[kind].called
    made = next((words for start, words in _MADE_WORDS if kind.startswith(start)), kind)
    return _PLAIN_WORDS.get(kind, made)


def sentence(words: str) -> str:
    """The words as a sentence begins with them."""
    return words[:1].upper() + words[1:]


def without_code(report: str) -> str:
    """Takes the status codes off a report: "NOT_FOUND: Key not found in map"."""
    return re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", first_line(report))


def first_line(error: object) -> str:
    """The first line of an exception's words."""
    return str(error).split("\n", 1)[0]


def _syntax_hint(text: str) -> str:
    for wrong, right in ((" and ", "&&"), (" or ", "||"), ("not ", "!")):
        if wrong in f" {text} ":
            return f"Write {right} for `{wrong.strip()}`."
    if re.search(r"[^=!<>]=[^=]", text):
        return "Write == to compare."
    return ""


def _operands(written: str) -> Iterator[str]:
    """The types in "string, map(string, double)"."""
    start = depth = 0
    for at, char in enumerate(f"{written},"):
        depth += (char in "(<") - (char in ")>")
        if char == "," and not depth:
            yield written[start:at].strip()
            start = at + 1


def _type_fault(
    operator: str, kinds: list[str], structures: Mapping[str, Structure], offset: int
) -> ExpressionFault:
    words = [in_words(kind, structures) for kind in kinds]
    shown = operator.strip("_").replace("_", " ") if "_" in operator else operator
    message = f"`{shown}` does not fit {' and '.join(words)}."
    whole = next((structures[kind] for kind in kinds if kind in structures), None)
    hint = "Compare a number slot with 3.0 rather than 3." if set(kinds) == {"double", "int"} else ""
    if operator == "_?_:_":
        hint = "Both values are of one type; dyn(…) around one of them lifts that."
    elif whole:
        names = [f".{name}" for name in whole.parts][:_MOST_PARTS]
        hint = f"Use its parts: {', '.join(names)}." if names else ""
    return ExpressionFault("guard-type", message, hint, offset)
