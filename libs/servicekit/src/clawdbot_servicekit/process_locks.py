"""Tells which processes are alive: each locks a file of its own, and the system unlocks it when it dies.

This is exact even after `kill -9` and needs no heartbeat. It covers the processes of one machine, as a SQLite
file does.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.private_files import create_folder, open_private

SUFFIX: Final = ".alive"


class ProcessLocks:
    """The processes that share a folder. This one holds its lock from `open` to `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._me = secrets.token_hex(8)
        self._descriptor: int | None = None

    @property
    def me(self) -> str:
        """The unique id of this process; no earlier process had it."""
        return self._me

    def open(self) -> None:
        """Locks this process's file and removes those of the dead. StartupError for an unusable folder."""
        try:
            create_folder(self._folder)
            fresh = self._folder / f"{self._me}.new"
            self._descriptor = open_private(fresh, os.O_RDWR)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            # Renamed only once it is locked: without the lock it would look dead to the others.
            fresh.rename(self._path(self._me))
            for path in self._folder.glob(f"*{SUFFIX}"):
                if self.gone(path.stem):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise StartupError(
                f"The folder {self._folder} cannot be used ({error.strerror}): set state_dir to another one."
            ) from error

    def gone(self, owner: str) -> bool:
        """Whether a process is certainly dead."""
        if owner == self._me:
            return False
        try:
            descriptor = os.open(self._path(owner), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def close(self) -> None:
        """Unlocks and removes this process's file. Safe twice."""
        if self._descriptor is not None:
            with suppress(OSError):
                self._path(self._me).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _path(self, owner: str) -> Path:
        return self._folder / f"{owner}{SUFFIX}"
