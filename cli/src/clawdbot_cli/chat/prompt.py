"""The prompt for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from typing_extensions import override

from clawdbot_cli.chat.input import LineSource
from clawdbot_cli.chat.screen import PROMPT


class Prompt(LineSource):
    """Asks a person at a terminal for lines. The history is kept in memory only."""

    def __init__(self, words: Iterable[str]) -> None:
        """Args: words: what Tab completes."""
        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory(),
            completer=WordCompleter(sorted(words), sentence=True),
            complete_while_typing=False,
            interrupt_exception=_Quit,
            eof_exception=_Quit,
        )

    @override
    async def next_line(self) -> str | None:
        try:
            # Our own handler for SIGINT stays; Ctrl-C is a key while the prompt is shown.
            return await self._session.prompt_async(
                FormattedText([("bold ansicyan", PROMPT)]), handle_sigint=False
            )
        except _Quit:
            return None


class _Quit(Exception):
    """Ctrl-C or Ctrl-D at the prompt."""
