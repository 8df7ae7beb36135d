"""A screen whose text can be read."""

from __future__ import annotations

import io

import pytest
from clawdbot_cli.chat.screen import Screen
from rich.console import Console


class Paper:
    """Two sheets: what was written to the conversation, and to the notes."""

    def __init__(self) -> None:
        self._out, self._notes = io.StringIO(), io.StringIO()
        self.screen = Screen(
            Console(file=self._out, width=10_000, color_system=None),
            Console(file=self._notes, width=10_000, color_system=None),
        )

    def clear(self) -> None:
        """Forgets what was written."""
        for sheet in (self._out, self._notes):
            sheet.seek(0)
            sheet.truncate()

    @property
    def conversation(self) -> str:
        return self._out.getvalue()

    @property
    def notes(self) -> str:
        return self._notes.getvalue()


@pytest.fixture
def paper() -> Paper:
    return Paper()
