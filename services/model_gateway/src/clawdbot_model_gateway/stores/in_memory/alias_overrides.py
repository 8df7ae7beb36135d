"""Alias overrides in the memory of one process: for tests, and for a gateway that does not switch."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from clawdbot_model_gateway.core.routing.alias_overrides import (
    AliasChange,
    AliasOverride,
    AliasOverrideStore,
    TargetSpecs,
    previous_targets,
)


class InMemoryAliasOverrideStore(AliasOverrideStore):
    """Keeps the overrides in this process."""

    def __init__(self) -> None:
        self._overrides: dict[str, AliasOverride] = {}
        self._results: dict[str, TargetSpecs] = {}
        self._version = 0

    @override
    def open(self) -> None:
        pass

    @override
    async def check(self) -> None:
        pass

    @override
    def close(self) -> None:
        pass

    @property
    @override
    def version(self) -> int:
        return self._version

    @override
    def load(self) -> Mapping[str, AliasOverride]:
        return dict(self._overrides)

    @override
    def apply(self, change: AliasChange) -> TargetSpecs:
        if change.request_id in self._results:
            return self._results[change.request_id]
        previous = previous_targets(self._overrides, change)
        self._overrides[change.alias] = change.override
        self._version += 1
        if change.request_id:
            self._results[change.request_id] = previous
        return previous
