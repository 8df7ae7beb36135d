"""The switches in a file of the state directory, for all workers of one machine, across restarts.

Next to the file is a counter that every worker has mapped into its memory: looking whether anything has
changed costs no system call, so that it can be done for each request and a switch holds everywhere at once.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from clawdbot_servicekit.errors import StartupError

from clawdbot_model_gateway.core.alias_overrides import Aim, Change, Names, RecordUnavailable, Switch, before

WORD: Final = 8
"""Bytes of the counter."""
REMEMBERED: Final = 128
"""Changes whose request_id is known, so that a repeated call does not undo a later one."""


class FileSwitches:
    """A SwitchRecord in a folder.

    Its calls do not wait in a thread: they write some hundred bytes without fsync, and under load a thread
    would get its turn later than the whole call takes. A loss of power may cost the last switches; then the
    configuration holds.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "switches.json"
        self._counter_path = folder / "switches.count"
        self._counter: mmap.mmap | None = None
        self._log = structlog.get_logger(__name__)

    def open(self) -> None:
        """Makes what is missing.

        Raises:
            StartupError: the folder cannot be used.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._counter_path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                # Never made shorter: another process may have it mapped.
                if os.fstat(descriptor).st_size < WORD:
                    os.ftruncate(descriptor, WORD)
                self._counter = mmap.mmap(descriptor, WORD)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StartupError(
                f"Cannot use {self._path.parent}: {error.strerror}. "
                "Make it writable, or set state_dir to another."
            ) from None

    def close(self) -> None:
        """Lets go. Safe without an open, and twice."""
        if self._counter is not None:
            self._counter.close()
            self._counter = None

    @property
    def version(self) -> int:
        """As the port says."""
        return 0 if self._counter is None else int.from_bytes(self._counter[:WORD])

    def read(self) -> Mapping[str, Switch]:
        """As the port says. What cannot be read counts as no switch, and the log says so."""
        return {alias: _switch(each) for alias, each in self._load()["switches"].items()}

    def change(self, change: Change) -> Names:
        """As the port says."""
        try:
            with self._alone() as counter:
                state = self._load()
                done = state["changes"].get(change.request_id) if change.request_id else None
                if done is not None:
                    return _names(done)
                switches = {alias: _switch(each) for alias, each in state["switches"].items()}
                previous = before(switches, change)
                state["switches"][change.alias] = _written(change.switch)
                if change.request_id:
                    state["changes"][change.request_id] = [_aim(each) for each in previous]
                state["changes"] = dict([*state["changes"].items()][-REMEMBERED:])
                self._store(state)
                counter[:WORD] = (int.from_bytes(counter[:WORD]) + 1).to_bytes(WORD)
                return previous
        except OSError as error:
            raise RecordUnavailable(f"{error.strerror}: {self._path}") from error

    @contextmanager
    def _alone(self) -> Iterator[mmap.mmap]:
        """Keeps other processes from changing anything meanwhile."""
        if self._counter is None:
            raise RecordUnavailable("the record is not open")
        descriptor = os.open(self._counter_path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._counter
        finally:
            os.close(descriptor)

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            state = orjson.loads(self._path.read_bytes())
            # Read whole here, so that a file that somebody has edited cannot break a request.
            for each in state["switches"].values():
                _switch(each)
            for each in state["changes"].values():
                _names(each)
        except FileNotFoundError:
            return {"switches": {}, "changes": {}}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._log.warning("switches_unreadable", path=str(self._path), error=type(error).__name__)
            return {"switches": {}, "changes": {}}
        return {"switches": state["switches"], "changes": state["changes"]}

    def _store(self, state: dict[str, dict[str, Any]]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(state))
        fresh.replace(self._path)


def _switch(plain: dict[str, Any]) -> Switch:
    return Switch(_names(plain["targets"]), _names(plain["configured"]))


def _names(plain: list[list[Any]]) -> Names:
    return tuple(Aim(str(name), max(1, int(weight)), bool(fallback)) for name, weight, fallback in plain)


def _written(switch: Switch) -> dict[str, Any]:
    return {
        "targets": [_aim(each) for each in switch.targets],
        "configured": [_aim(each) for each in switch.configured],
    }


def _aim(aim: Aim) -> list[Any]:
    return [aim.name, aim.weight, aim.fallback]
