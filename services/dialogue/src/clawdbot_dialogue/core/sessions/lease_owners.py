"""The port to the lease owners: which of the processes that run turns are alive."""

from __future__ import annotations

from typing import Protocol


class LeaseOwners(Protocol):
    """The processes that share a store, as this one sees them. Used from `open` to `close`."""

    @property
    def me(self) -> str:
        """This process's name as an owner. No other process has it, or had it before."""

    def gone(self, owner: str) -> bool:
        """Returns whether an owner is certainly dead; False if this process cannot tell."""

    def open(self) -> None:
        """Registers this process as alive. MUST raise StartupError for what an operator can fix."""

    def close(self) -> None:
        """Ends the registration. MUST be safe when called twice."""
