"""The port of a store for alias overrides: what SwitchModel changed, shared by all workers.

Each worker keeps its routing table in memory; the store tells it when the overrides have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

TargetSpecs = tuple["TargetSpec", ...]
"""The targets of an alias, in order."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One target of an alias, as it is stored."""

    name: str
    """ "backend/model"."""
    weight: int = 1
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class AliasOverride:
    """The targets that SwitchModel gave an alias."""

    targets: TargetSpecs
    configured: TargetSpecs
    """The alias's targets in the configuration at that time. Once the configuration differs, the override is
    obsolete."""


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One call of SwitchModel."""

    alias: str
    override: AliasOverride
    request_id: str = ""
    """Idempotency key: a change with a known id has no effect. Empty: every call is a new change."""


class OverrideStoreUnavailable(Exception):
    """The store cannot be written; nothing has changed."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class AliasOverrideStore(Protocol):
    """The overrides in effect. All instances of one store MUST agree, also across processes."""

    def open(self) -> None:
        """Creates what is missing, before anything else is called.

        Raises:
            StartupError: the store cannot be used.
        """

    async def check(self) -> None:
        """Returns if a change can be stored now; raises OSError otherwise."""

    def close(self) -> None:
        """Releases everything. MUST be safe without an open, and when called twice."""

    @property
    def version(self) -> int:
        """A number that differs after each change by any process. It is read per request: MUST be cheap."""

    def load(self) -> Mapping[str, AliasOverride]:
        """Alias → its override."""

    def apply(self, change: AliasChange) -> TargetSpecs:
        """Applies the change and returns the alias's previous targets.

        Changes of all processes MUST be serialized. A repeated request_id MUST have no effect and MUST return
        the first result.

        Raises:
            OverrideStoreUnavailable: the store cannot be written.
        """


def previous_targets(overrides: Mapping[str, AliasOverride], change: AliasChange) -> TargetSpecs:
    """The targets that the changed alias has had until now."""
    current = overrides.get(change.alias)
    if current is not None and current.configured == change.override.configured:
        return current.targets
    return change.override.configured
