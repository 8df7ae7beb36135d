"""A screen whose output can be read."""

from __future__ import annotations

import io

import pytest
from clawdbot_cli.chat.screen import Screen
from rich.console import Console


class RecordedOutput:
    """What a screen has written: the conversation, and the notes about it."""

    def __init__(self) -> None:
        self._out, self._notes = io.StringIO(), io.StringIO()
        self.screen = Screen(
            Console(file=self._out, width=10_000, color_system=None),
            Console(file=self._notes, width=10_000, color_system=None),
        )

    def clear(self) -> None:
        """Forgets what was written."""
        for stream in (self._out, self._notes):
            stream.seek(0)
            stream.truncate()

    @property
    def conversation(self) -> str:
        return self._out.getvalue()

    @property
    def notes(self) -> str:
        return self._notes.getvalue()


@pytest.fixture
def output() -> RecordedOutput:
    return RecordedOutput()
