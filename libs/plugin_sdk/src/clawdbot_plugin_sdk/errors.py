"""What can go wrong with a tool's call, as exceptions that say it to the right person."""

from __future__ import annotations

from collections.abc import Sequence


class ToolError(Exception):
    """Raised by a tool: its text is a sentence for the model. Of other exceptions it learns nothing."""


class ArgumentsDoNotFit(Exception):
    """The arguments are not what the tool's types ask for."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        """Path within the arguments ("guests[0].name") and what is wrong there."""
        super().__init__("; ".join(f"{path}: {what}" for path, what in self.problems))


class ResultDoesNotFit(Exception):
    """The tool returned something else than its return type says: a mistake in the plugin."""
