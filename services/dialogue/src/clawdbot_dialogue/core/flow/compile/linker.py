"""Resolves the names in a flow and compiles its texts and expressions, with the position of every error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.cel.errors import ExpressionError
from clawdbot_dialogue.core.flow.cel.expressions import Expression, ExpressionCompiler
from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector, Mark, suggest
from clawdbot_dialogue.core.flow.model import Argument
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.templates import Template, TemplateError, parse_template
from clawdbot_dialogue.core.flow.tree import resolve


@dataclass(frozen=True, slots=True)
class DeclaredNames:
    """What the source declares, invalid declarations included, so that one mistake is reported once."""

    slots: frozenset[str]
    states: Mapping[str, frozenset[str]]
    """Each state's path and its keys."""


class Linker:
    """Resolves the names of one flow."""

    def __init__(
        self,
        document: Document,
        diagnostics: DiagnosticCollector,
        names: DeclaredNames,
        types: Mapping[str, CelType],
        expressions: ExpressionCompiler | None = None,
    ) -> None:
        """Takes the flow's document and names.

        Args:
            document: For the positions of errors.
            diagnostics: Receives the errors.
            names: The declared names.
            types: The slots' types.
            expressions: The compiler of the same flow in another language, whose expressions are the same.
        """
        self.document = document
        self.diagnostics = diagnostics
        self.names = names
        self._types = types
        fields = {name: kind for name, kind in types.items() if _is_cel_identifier(name)}
        self.expressions = expressions or ExpressionCompiler(fields)

    def template(self, text: str, path: Path) -> Template:
        """Compiles the text at a path."""
        try:
            return parse_template(text, self._types)
        except TemplateError as error:
            mark = self.document.at_offset(path, error.offset)
            self.diagnostics.error(error.code, error.message, mark, error.hint)
            return Template((text,))

    def optional_template(self, text: str | None, path: Path) -> Template | None:
        """Compiles a text that may be missing."""
        return None if text is None else self.template(text, path)

    def guard(self, text: str | None, path: Path) -> Expression | None:
        """Compiles a guard that may be missing."""
        return None if text is None else self._expression(text, path, guard=True)

    def _expression(self, text: str, path: Path, *, guard: bool, offset: int = 0) -> Expression | None:
        try:
            return self.expressions.guard(text) if guard else self.expressions.argument(text)
        except ExpressionError as error:
            mark = self.document.at_offset(path, offset + error.offset)
            self.diagnostics.error(error.code, error.message, mark, error.hint)
            return None

    def arguments(self, given: Mapping[str, object], path: Path) -> dict[str, Argument]:
        """Compiles values by name."""
        return {name: Argument(self._argument(value, (*path, name))) for name, value in given.items()}

    def _argument(self, value: object, path: Path) -> object:
        if isinstance(value, dict):
            return {key: self._argument(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._argument(each, (*path, index)) for index, each in enumerate(value)]
        if not isinstance(value, str):
            return value
        if found := re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL):
            return self._expression(found[1], path, guard=False, offset=2)
        template = self.template(value, path)
        if template.placeholders:
            return template
        return "".join(part for part in template.parts if isinstance(part, str))

    def state(self, name: str, scope: str, path: Path) -> str:
        """The path of the state that a name refers to, looked up among a state's children, then outwards."""
        found = resolve(name, scope, self.names.states)
        if found is None:
            known = {each for state in self.names.states for each in (state, state.rpartition(".")[2])}
            message = f'There is no state "{name}".'
            self.diagnostics.error("unknown-state", message, self.document.at(path), suggest(name, known))
        return found or name

    def slots(self, names: Iterable[str], path: Path) -> None:
        """Reports the names in a list that are not slots."""
        for index, name in enumerate(names):
            self.slot(name, self.document.at((*path, index)))

    def slot(self, name: str, mark: Mark) -> None:
        """Reports a name that is not a slot."""
        if name not in self.names.slots:
            hint = suggest(name, self.names.slots)
            self.diagnostics.error("undeclared-slot", f'There is no slot "{name}".', mark, hint)


def _is_cel_identifier(name: str) -> bool:
    return name.isidentifier() and name.isascii()
