"""The exceptions of tools and hooks: for the model, for callers who may try again, for the author."""

from __future__ import annotations

from collections.abc import Sequence


class ToolError(Exception):
    """Raised by a tool: its text is a sentence for the model. The model never sees other exceptions."""


class Unavailable(Exception):
    """Raised by a tool, hook or check that cannot do its work for now: its store or network fails.

    The caller gets UNAVAILABLE and may try again, with the same request_id too: a tool MUST NOT have had any
    effect by then. The text is for the operator.
    """


class InvalidArguments(Exception):
    """The arguments do not match the types of the tool's parameters."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        """Pairs of a path within the arguments ("guests[0].name") and what is wrong there."""
        super().__init__("; ".join(f"{path}: {message}" for path, message in self.problems))


class InvalidResult(Exception):
    """The tool returned something that does not match its return type: a bug in the plugin."""
