"""Which processes live: each holds a lock on a file of its own, which the system lets go when it dies.

That is exact even after `kill -9`, needs no heartbeat, and is for the processes of one machine.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

SUFFIX: Final = ".alive"


class Owner:
    """This process, as others see it. Held from `open` to `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.id = secrets.token_hex(8)
        self._path = folder / f"{self.id}{SUFFIX}"
        self._descriptor: int | None = None

    def open(self) -> None:
        """Makes the folder and the lock file, and removes those of the dead. OSError where it cannot."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while not self._locked():
            pass
        for path in self._folder.glob(f"*{SUFFIX}"):
            self.lives(path.stem)

    def lives(self, owner: str) -> bool:
        """Whether the process that calls itself so is still there; true for this one."""
        if owner == self.id:
            return self._descriptor is not None
        path = self._folder / f"{owner}{SUFFIX}"
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)

    def _locked(self) -> bool:
        """Whether the lock is held on the file that the others see.

        One that looks for the dead in the moment between making the file and locking it takes it for one of
        theirs, and removes it.
        """
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            seen = self._path.stat().st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            seen = False
        if seen:
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return seen

    def close(self) -> None:
        """Lets go. Safe twice."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None
