"""What `clawdbot models` shows: results on stdout, in columns; what is said about them on stderr.

Names and messages come from others: everything passes through `harmless`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend, Model
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    TOKEN_COUNT_SOURCE_LOCAL,
    CountTokensResponse,
)
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from clawdbot_cli.models.model_check import Check
from clawdbot_cli.sanitize import harmless

SOURCES: Final = {
    TOKEN_COUNT_SOURCE_BACKEND: "counted by the backend",
    TOKEN_COUNT_SOURCE_LOCAL: "counted with the tokenizer file",
}


class Report:
    """Writes results to one console and notes to another."""

    def __init__(self, out: Console, notes: Console) -> None:
        self._out = out
        self._notes = notes

    @classmethod
    def standard(cls) -> Report:
        """Stdout and stderr."""
        return cls(_console(), _console(stderr=True))

    def note(self, text: str) -> None:
        """A line about what is going on."""
        self._notes.print(Text(harmless(text), "dim"), soft_wrap=True)

    def models(self, models: Sequence[Model], backends: Sequence[Backend]) -> None:
        """Aliases with what they mean, then targets, then backends."""
        aliases = [(each.name, _meaning(each)) for each in models if each.targets]
        self._table("alias", "means", rows=aliases)
        targets = [
            (each.name, each.provider, f"{each.context_length:,}" if each.context_length else "")
            for each in models
            if not each.targets
        ]
        self._table("model", "provider", "context", rows=targets)
        states = [
            (
                each.name,
                each.provider,
                each.endpoint or "in this process",
                str(each.requests_in_flight),
                "draining" if each.draining else "" if each.models else "lists no model",
            )
            for each in backends
        ]
        self._table("backend", "provider", "at", "busy", "", rows=states)

    def check(self, check: Check) -> None:
        """One thing looked at, in a line."""
        mark, style = ("✓", "green") if check.passed else ("✗", "red")
        line = Text.assemble((mark, style), f" {check.name}: ", harmless(check.told))
        self._out.print(line, soft_wrap=True)

    def count(self, counted: CountTokensResponse, characters: int) -> None:
        """How long a text is, and how sure that is."""
        how = SOURCES.get(counted.source, "estimated")
        bound = f" ± {counted.error_bound:.0%}" if counted.error_bound else ""
        self._out.print(f"{counted.tokens} tokens{bound}, {how} ({characters} characters)", soft_wrap=True)

    def _table(self, *heads: str, rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            return
        lines = [list(heads), *([harmless(cell) for cell in row] for row in rows)]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        for number, line in enumerate(lines):
            padded = [set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True)]
            shown = Text("  ".join(padded), "dim" if number == 0 else "")
            if number:
                shown.stylize("bold", 0, len(padded[0]))
            shown.rstrip()
            # soft_wrap: no name is cut, for they are there to be copied.
            self._out.print(shown, soft_wrap=True)
        self._out.print()


def _meaning(alias: Model) -> str:
    many = len([each for each in alias.targets if not each.fallback]) > 1
    return ", ".join(
        f"else {each.target}" if each.fallback else f"{each.target}{f' ×{each.weight}' if many else ''}"
        for each in alias.targets
    )


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
