"""What `clawdbot models` prints: results on stdout, in columns; notes about them on stderr.

Names and messages come from elsewhere, so all text passes through `sanitize`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend, Model, UsageRecord
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    TOKEN_COUNT_SOURCE_LOCAL,
    CountTokensResponse,
)
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from clawdbot_cli.models.backend_state import backend_state
from clawdbot_cli.models.model_check import CheckResult
from clawdbot_cli.sanitize import sanitize

COUNT_SOURCES: Final = {
    TOKEN_COUNT_SOURCE_BACKEND: "counted by the backend",
    TOKEN_COUNT_SOURCE_LOCAL: "counted with the tokenizer file",
}


USAGE_FIELDS: Final = {"day": "day", "tenant": "tenant", "key": "key_id", "model": "model"}
"""Column → field of a record."""


class Report:
    """Writes results to one console and notes to another."""

    def __init__(self, out: Console, notes: Console) -> None:
        self._out = out
        self._notes = notes

    @classmethod
    def standard(cls) -> Report:
        """Stdout and stderr."""
        return cls(_console(), _console(stderr=True))

    @property
    def console(self) -> Console:
        """Where results go."""
        return self._out

    def note(self, text: str) -> None:
        """A line about what is going on."""
        self._notes.print(Text(sanitize(text), "dim"), soft_wrap=True)

    def models(self, models: Sequence[Model], backends: Sequence[Backend]) -> None:
        """Aliases and their targets, then models, then backends."""
        aliases = [(each.name, _targets(each)) for each in models if each.targets]
        self._table("alias", "targets", rows=aliases)
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
                backend_state(each),
            )
            for each in backends
        ]
        self._table("backend", "provider", "endpoint", "in flight", "", rows=states)

    def check(self, result: CheckResult) -> None:
        """The result of one check, on one line."""
        mark, style = ("✓", "green") if result.passed else ("✗", "red")
        line = Text.assemble((mark, style), f" {result.name}: ", sanitize(result.detail))
        self._out.print(line, soft_wrap=True)

    def token_count(self, count: CountTokensResponse, characters: int) -> None:
        """The length of a text in tokens, who counted them, and the error bound."""
        source = COUNT_SOURCES.get(count.source, "estimated")
        bound = f" ± {count.error_bound:.0%}" if count.error_bound else ""
        self._out.print(f"{count.tokens} tokens{bound}, {source} ({characters} characters)", soft_wrap=True)

    def usage(self, records: Sequence[UsageRecord], group_by: Sequence[str]) -> None:
        """What was used, by the columns that it is added up by; estimates are marked."""
        rows = [
            (
                *(str(getattr(each, USAGE_FIELDS[name])) or "-" for name in group_by),
                f"{each.requests:,}",
                f"{each.usage.input_tokens:,}",
                f"{each.usage.cached_tokens:,}",
                f"{each.usage.output_tokens:,}",
                f"{'~' if each.estimated_requests else ''}{each.usage.cost_micros / 1e6:,.4f}",
            )
            for each in records
        ]
        self._table(*group_by, "calls", "input", "cached", "output", "cost $", rows=rows)
        if not records:
            self.note("Nothing was used in this time.")
        elif any(each.estimated_requests for each in records):
            self.note("~ estimated in part: some backends did not report the tokens of each call.")

    def _table(self, *heads: str, rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            return
        lines = [list(heads), *([sanitize(cell) for cell in row] for row in rows)]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        for number, line in enumerate(lines):
            padded = [set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True)]
            shown = Text("  ".join(padded), "dim" if number == 0 else "")
            if number:
                shown.stylize("bold", 0, len(padded[0]))
            shown.rstrip()
            # soft_wrap: names are not cut, so that they can be copied.
            self._out.print(shown, soft_wrap=True)
        self._out.print()


def _targets(alias: Model) -> str:
    weighted = len([each for each in alias.targets if not each.fallback]) > 1
    return ", ".join(
        f"else {each.target}" if each.fallback else f"{each.target}{f' ×{each.weight}' if weighted else ''}"
        for each in alias.targets
    )


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
