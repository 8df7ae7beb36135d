"""The prompt that a person at a terminal types at."""

from __future__ import annotations

from collections.abc import Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory

from clawdbot_cli.chat.screen import MARK


class Prompt:
    """Asks a person at a terminal. What is typed is kept in memory only."""

    def __init__(self, words: Iterable[str]) -> None:
        """Args: words: what Tab completes."""
        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory(),
            completer=WordCompleter(sorted(words), sentence=True),
            complete_while_typing=False,
            interrupt_exception=_Left,
            eof_exception=_Left,
        )

    async def next(self) -> str | None:
        """As the port says."""
        try:
            # Our own handler for SIGINT stays; Ctrl-C is a key while the prompt is there.
            return await self._session.prompt_async(
                FormattedText([("bold ansicyan", MARK)]), handle_sigint=False
            )
        except _Left:
            return None


class _Left(Exception):
    """Ctrl-C or Ctrl-D at the prompt."""
