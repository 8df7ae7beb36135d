"""Alias overrides in files of the state directory, shared by all workers of a machine, across restarts.

Next to them is a counter that every worker maps into its memory. Checking for changes costs no system
call, so that it can be done per request and an override takes effect in all workers at once.

Two files take turns: a change is written over the state before the last one, and takes effect with the
counter. To replace a file by a new one would take milliseconds, as ext4 writes its data to the disk then.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from clawdbot_servicekit.private_files import make_private, open_private
from typing_extensions import override

from clawdbot_model_gateway.core.routing.alias_overrides import (
    AliasChange,
    AliasOverride,
    AliasOverrideStore,
    OverrideStoreUnavailable,
    TargetSpec,
    TargetSpecs,
    previous_targets,
)
from clawdbot_model_gateway.stores.file.mapped_counter import COUNTER_BYTES, MappedCounter

PROBE_BYTES: Final = 4096
"""Written to find out whether a change could be: no less than a change with its file."""
MAX_REMEMBERED_CHANGES: Final = 128
"""Changes whose request_id is remembered, so that a repeated call does not undo a later one."""


class FileAliasOverrideStore(AliasOverrideStore):
    """Keeps the overrides in a folder.

    Its calls run on the event loop, not in a thread: they write some hundred bytes without fsync, and under
    load a thread would be scheduled later than the whole call takes. A power failure may lose the latest
    overrides.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = folder / "switches.new", folder / "switches.json"
        """Of even and of odd versions."""
        self._counter_path = folder / "switches.count"
        self._counter = MappedCounter(self._counter_path)
        self._checking: asyncio.Future[None] | None = None
        self._log = structlog.get_logger(__name__)

    @override
    def open(self) -> None:
        self._counter.open()
        for each in self._paths:
            make_private(each)

    @override
    async def check(self) -> None:
        """A folder that was put back without its counter gets one."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.ensure_future(asyncio.to_thread(self._try_write))
        # A disk that hangs must not take one more thread with every check.
        await asyncio.shield(self._checking)

    @override
    def close(self) -> None:
        self._counter.close()

    @property
    @override
    def version(self) -> int:
        return self._counter.value

    @override
    def load(self) -> Mapping[str, AliasOverride]:
        """A file that cannot be read counts as empty, and a warning is logged."""
        try:
            state = self._read()
        except OSError as error:
            self._warn_unreadable(self._folder, error)
            return {}
        return {alias: _to_override(each) for alias, each in state["switches"].items()}

    @override
    def apply(self, change: AliasChange) -> TargetSpecs:
        try:
            with self._exclusive() as counter:
                state = self._read()
                result = state["changes"].get(change.request_id) if change.request_id else None
                if result is not None:
                    return _to_specs(result)
                overrides = {alias: _to_override(each) for alias, each in state["switches"].items()}
                previous = previous_targets(overrides, change)
                state["switches"][change.alias] = _from_override(change.override)
                if change.request_id:
                    state["changes"][change.request_id] = [_from_spec(each) for each in previous]
                state["changes"] = dict([*state["changes"].items()][-MAX_REMEMBERED_CHANGES:])
                # Above both, so that the latest state is not written over where the counter was lost.
                counted = int.from_bytes(os.pread(counter, COUNTER_BYTES, 0))
                state["version"] = max(counted, state["version"]) + 1
                _overwrite(self._path(state["version"]), orjson.dumps(state))
                os.pwrite(counter, state["version"].to_bytes(COUNTER_BYTES), 0)
                return previous
        except OSError as error:
            raise OverrideStoreUnavailable(f"{error.strerror}: {self._folder}") from error

    def _try_write(self) -> None:
        self._counter.reopen_if_gone()
        probe = self._counter_path.with_suffix(f".{os.getpid()}")
        try:
            with os.fdopen(open_private(probe, os.O_WRONLY | os.O_TRUNC), "wb") as file:
                file.write(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)

    @contextmanager
    def _exclusive(self) -> Iterator[int]:
        """Locks out the changes of other processes; yields a descriptor of the counter's file."""
        if not self._counter.is_open:
            raise OverrideStoreUnavailable("the store is not open")
        descriptor = os.open(self._counter_path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _path(self, version: int) -> Path:
        return self._paths[version % 2]

    def _read(self) -> dict[str, Any]:
        """The latest state that can be read.

        That is the one which the counter names, unless the counter was lost, or a power failure has left half
        of the file.
        """
        version = self._counter.value
        state = self._parse(self._path(version))
        if state["version"] == version:
            return state
        return max(state, self._parse(self._path(version + 1)), key=lambda each: each["version"])

    def _parse(self, path: Path) -> dict[str, Any]:
        """What a file has; it counts as empty where it cannot be parsed."""
        try:
            state = orjson.loads(path.read_bytes())
            # Parsed completely here, so that a file that was edited by hand cannot break a request.
            for each in state["switches"].values():
                _to_override(each)
            for each in state["changes"].values():
                _to_specs(each)
            version = int(state.get("version", 0))
        except FileNotFoundError:
            return {"switches": {}, "changes": {}, "version": -1}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._warn_unreadable(path, error)
            return {"switches": {}, "changes": {}, "version": -1}
        return {"switches": state["switches"], "changes": state["changes"], "version": version}

    def _warn_unreadable(self, path: Path, error: Exception) -> None:
        self._log.warning("alias_overrides_unreadable", path=str(path), error=type(error).__name__)


def _overwrite(path: Path, content: bytes) -> None:
    with os.fdopen(open_private(path, os.O_WRONLY), "wb") as file:
        file.write(content)
        file.truncate()


def _to_override(plain: dict[str, Any]) -> AliasOverride:
    return AliasOverride(_to_specs(plain["targets"]), _to_specs(plain["configured"]))


def _to_specs(plain: list[list[Any]]) -> TargetSpecs:
    return tuple(
        TargetSpec(str(name), max(1, int(weight)), bool(fallback)) for name, weight, fallback in plain
    )


def _from_override(alias_override: AliasOverride) -> dict[str, Any]:
    return {
        "targets": [_from_spec(each) for each in alias_override.targets],
        "configured": [_from_spec(each) for each in alias_override.configured],
    }


def _from_spec(spec: TargetSpec) -> list[Any]:
    return [spec.name, spec.weight, spec.fallback]
