"""What SwitchModel has changed, kept where every worker of this installation sees it.

Each worker holds the routing table in memory; the record tells them that it has changed, and how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Names = tuple["Aim", ...]
"""What an alias means, in order."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One target of an alias, as it is written down."""

    name: str
    """ "backend/model"."""
    weight: int = 1
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """An alias that was pointed elsewhere."""

    targets: Names
    configured: Names
    """What the configuration said then. When it says something else, it is newer, and the switch is void."""


@dataclass(frozen=True, slots=True)
class Change:
    """One call of SwitchModel."""

    alias: str
    switch: Switch
    request_id: str = ""
    """Names the change; a repeated one changes nothing. Empty: it cannot be repeated."""


class RecordUnavailable(Exception):
    """The record cannot be written; nothing has changed."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class SwitchRecord(Protocol):
    """The switches in force. All instances on one place MUST agree, in whichever process they are."""

    @property
    def version(self) -> int:
        """Another number after each change by anybody. It is read for each request: MUST be cheap."""

    def read(self) -> Mapping[str, Switch]:
        """Alias → its switch."""

    def change(self, change: Change) -> Names:
        """Makes the change and answers what the alias meant before.

        Changes of all processes MUST happen one after the other. A repeated request_id MUST change nothing
        and MUST answer what it answered the first time.

        Raises:
            RecordUnavailable: the record cannot be written.
        """


def before(switches: Mapping[str, Switch], change: Change) -> Names:
    """What the change's alias meant until now."""
    standing = switches.get(change.alias)
    if standing is not None and standing.configured == change.switch.configured:
        return standing.targets
    return change.switch.configured
