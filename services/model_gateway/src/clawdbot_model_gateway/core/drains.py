"""The port of a store for drained backends: those that DrainBackend took out of service."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Protocol


class DrainNotRecorded(Exception):
    """The store cannot be written; nothing has changed."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class DrainStore(Protocol):
    """The drained backends. All instances of one store MUST agree, also across processes and restarts."""

    def open(self) -> None:
        """Creates what is missing, before anything else is called.

        Raises:
            StartupError: the store cannot be used.
        """

    def close(self) -> None:
        """Releases everything. MUST be safe without an open, and when called twice."""

    @property
    def version(self) -> int:
        """A number that grows with each change by any process."""

    @property
    def names(self) -> AbstractSet[str]:
        """The drained backends now. It is read per request: MUST be cheap."""

    def apply(self, backend: str, *, drained: bool, request_id: str = "") -> None:
        """Drains a backend, or puts it back into service.

        Once it has returned, `names` MUST show the change in every process. A repeated request_id MUST have
        no effect, so that a late repetition does not undo a later change.

        Raises:
            DrainNotRecorded: the store cannot be written.
        """
