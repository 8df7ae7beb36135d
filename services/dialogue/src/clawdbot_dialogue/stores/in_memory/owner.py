"""The one lease owner of a store in memory, which no other process can see."""

from __future__ import annotations

import secrets

from typing_extensions import override

from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners


class SingleOwner(LeaseOwners):
    """This process alone: every other owner counts as dead."""

    def __init__(self) -> None:
        self._me = secrets.token_hex(8)

    @property
    @override
    def me(self) -> str:
        return self._me

    @override
    def gone(self, owner: str) -> bool:
        return owner != self._me

    @override
    def open(self) -> None:
        pass

    @override
    def close(self) -> None:
        pass
