"""The switches of a gateway that is one process and forgets them with it; for tests and trials."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_model_gateway.core.alias_overrides import Change, Names, Switch, before


class InMemorySwitches:
    """A SwitchRecord in this process."""

    def __init__(self) -> None:
        self._switches: dict[str, Switch] = {}
        self._done: dict[str, Names] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """As the port says."""
        return self._version

    def read(self) -> Mapping[str, Switch]:
        """As the port says."""
        return dict(self._switches)

    def change(self, change: Change) -> Names:
        """As the port says."""
        if change.request_id in self._done:
            return self._done[change.request_id]
        previous = before(self._switches, change)
        self._switches[change.alias] = change.switch
        self._version += 1
        if change.request_id:
            self._done[change.request_id] = previous
        return previous
