"""The backends by name: those in use, and those that a reload has removed, for calls that began before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar, overload

from typing_extensions import override

from clawdbot_model_gateway.core.backends import Backend

T = TypeVar("T")


class BackendSet(Mapping[str, Backend]):
    """A mapping of the backends in use.

    `[name]` also finds a backend that was removed: a call that has read its targets may still come to it. A
    removed backend that has been stopped refuses requests itself.
    """

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._current = dict(backends)
        self._removed: dict[str, Backend] = {}

    def replace(self, backends: Mapping[str, Backend]) -> None:
        """Puts other backends in use. The caller stops those that are not in use any more."""
        self._removed = {**self._removed, **self._current}
        self._current = dict(backends)
        for name in self._current:
            self._removed.pop(name, None)

    @override
    def __getitem__(self, name: str) -> Backend:
        return self._current.get(name) or self._removed[name]

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._current

    @overload
    def get(self, name: str, /) -> Backend | None: ...
    @overload
    def get(self, name: str, /, default: Backend | T) -> Backend | T: ...
    @override
    def get(self, name: str, /, default: Backend | T | None = None) -> Backend | T | None:
        return self._current.get(name, default)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._current)

    @override
    def __len__(self) -> int:
        return len(self._current)
