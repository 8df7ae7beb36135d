"""Drained backends in a file of the state directory, shared by all workers of a machine, across restarts."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import orjson
import structlog
from clawdbot_servicekit.private_files import replace_private
from typing_extensions import override

from clawdbot_model_gateway.core.drains import DrainNotRecorded, DrainStore
from clawdbot_model_gateway.stores.file.mapped_counter import MappedCounter, increment_locked

MAX_REMEMBERED_CHANGES: Final = 128
"""Changes whose request_id is remembered."""

_NONE: Final[AbstractSet[str]] = frozenset()


class FileDrainStore(DrainStore):
    """Keeps the names in a folder. Its calls run on the event loop: some hundred bytes, without fsync."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "drained.json"
        self._counter = MappedCounter(folder / "drained.count")
        self._version = -1
        self._names = _NONE

    @override
    def open(self) -> None:
        self._counter.open()

    @override
    def close(self) -> None:
        self._counter.close()

    @property
    @override
    def version(self) -> int:
        return self._counter.value

    @property
    @override
    def names(self) -> AbstractSet[str]:
        version = self._counter.value
        if version != self._version:
            # Set first: a change that happens during the read is picked up by the next one.
            self._version = version
            self._names = frozenset(self._read()[0])
        return self._names

    @override
    def apply(self, backend: str, *, drained: bool, request_id: str = "") -> None:
        try:
            with self._counter.exclusive() as memory:
                names, changes = self._read()
                if request_id and request_id in changes:
                    return
                names = [each for each in names if each != backend] + [backend] * drained
                changes = [*changes, *([request_id] if request_id else [])][-MAX_REMEMBERED_CHANGES:]
                self._write(names, changes)
                increment_locked(memory)
        except OSError as error:
            raise DrainNotRecorded(f"{error.strerror}: {self._path}") from error

    def _read(self) -> tuple[list[str], list[str]]:
        """The drained backends and the known request_ids. A file that cannot be read counts as empty."""
        try:
            state = orjson.loads(self._path.read_bytes())
            return [str(each) for each in state["drained"]], [str(each) for each in state["changes"]]
        except FileNotFoundError:
            return [], []
        except (OSError, ValueError, TypeError, KeyError) as error:
            log = structlog.get_logger(__name__)
            log.warning("drained_backends_unreadable", path=str(self._path), error=type(error).__name__)
            return [], []

    def _write(self, names: list[str], changes: list[str]) -> None:
        replace_private(self._path, orjson.dumps({"drained": names, "changes": changes}))
