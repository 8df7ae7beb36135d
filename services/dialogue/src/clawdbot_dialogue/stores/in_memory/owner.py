"""Who may hold claims where no other process can: the claims of sessions in memory."""

from __future__ import annotations

import secrets


class SingleOwner:
    """The only engine there is: for sessions in memory, which no other process sees."""

    def __init__(self) -> None:
        self._me = secrets.token_hex(8)

    @property
    def me(self) -> str:
        """This engine's name."""
        return self._me

    def gone(self, owner: str) -> bool:
        """Nobody else was ever there."""
        return owner != self._me

    def open(self) -> None:
        """Nothing to say."""

    def close(self) -> None:
        """Nothing to let go."""
