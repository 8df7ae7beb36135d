"""Resolves what a flow's parts refer to and compiles their texts and expressions, telling every fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.cel.errors import ExpressionFault
from clawdbot_dialogue.core.flow.cel.expressions import Expression, ExpressionCompiler
from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.diagnostics import Findings, Mark, nearest
from clawdbot_dialogue.core.flow.model import Argument
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.templates import Template, TemplateFault, parse_template
from clawdbot_dialogue.core.flow.tree import resolve


@dataclass(frozen=True, slots=True)
class Names:
    """What the source declares, faulty declarations included, so that one mistake is told once."""

    slots: frozenset[str]
    states: Mapping[str, frozenset[str]]
    """Each state's path and its keys."""


class Linker:
    """Knows the names of one flow."""

    def __init__(
        self,
        document: Document,
        findings: Findings,
        names: Names,
        types: Mapping[str, CelType],
        expressions: ExpressionCompiler | None = None,
    ) -> None:
        """Takes the flow's document and names.

        Args:
            document: Tells places.
            findings: Takes the faults.
            names: What is declared.
            types: The slots' types.
            expressions: That of the same flow in another language, which has compiled them.
        """
        self.document = document
        self.findings = findings
        self.names = names
        self._types = types
        fields = {name: kind for name, kind in types.items() if _is_field(name)}
        self.expressions = expressions or ExpressionCompiler(fields)

    def template(self, text: str, path: Path) -> Template:
        """Compiles a text that stands at a path."""
        try:
            return parse_template(text, self._types)
        except TemplateFault as fault:
            self.findings.error(
                fault.code, fault.message, self.document.inside(path, fault.offset), fault.hint
            )
            return Template((text,))

    def optional(self, text: str | None, path: Path) -> Template | None:
        """Compiles a text that may be missing."""
        return None if text is None else self.template(text, path)

    def guard(self, text: str | None, path: Path) -> Expression | None:
        """Compiles what must be true or false."""
        return None if text is None else self._expression(text, path, guard=True)

    def _expression(self, text: str, path: Path, *, guard: bool, offset: int = 0) -> Expression | None:
        try:
            return self.expressions.guard(text) if guard else self.expressions.argument(text)
        except ExpressionFault as fault:
            mark = self.document.inside(path, offset + fault.offset)
            self.findings.error(fault.code, fault.message, mark, fault.hint)
            return None

    def arguments(self, given: Mapping[str, object], path: Path) -> dict[str, Argument]:
        """Compiles values by name."""
        return {name: Argument(self._argument(value, (*path, name))) for name, value in given.items()}

    def _argument(self, value: object, path: Path) -> object:
        if isinstance(value, dict):
            return {key: self._argument(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._argument(each, (*path, at)) for at, each in enumerate(value)]
        if not isinstance(value, str):
            return value
        if found := re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL):
            return self._expression(found[1], path, guard=False, offset=2)
        template = self.template(value, path)
        return (
            template if template.gaps else "".join(part for part in template.parts if isinstance(part, str))
        )

    def state(self, name: str, holder: str, path: Path) -> str:
        """The path of the state that a name means, looked for among a holder's children, then outwards."""
        found = resolve(name, holder, self.names.states)
        if found is None:
            near = {each for state in self.names.states for each in (state, state.rpartition(".")[2])}
            message = f'There is no state "{name}".'
            self.findings.error("unknown-state", message, self.document.at(path), nearest(name, near))
        return found or name

    def slots(self, names: Iterable[str], path: Path) -> None:
        """Tells the names in a list that are no slots."""
        for at, name in enumerate(names):
            self.slot(name, self.document.at((*path, at)))

    def slot(self, name: str, mark: Mark) -> None:
        """Tells a name that is no slot."""
        if name not in self.names.slots:
            hint = nearest(name, self.names.slots)
            self.findings.error("undeclared-slot", f'There is no slot "{name}".', mark, hint)


def _is_field(name: str) -> bool:
    return name.isidentifier() and name.isascii()
