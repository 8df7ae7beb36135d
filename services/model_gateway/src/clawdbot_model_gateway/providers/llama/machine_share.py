"""Has one process of this machine run a model for all of the user's gateways: by locks that the system frees.

The process with the claim runs the model; the others connect to its socket. The model's process inherits the
claim, so nobody else starts one before it has ended, however it ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

from clawdbot_model_gateway.providers.llama.server_main import LOADED

POLL_INTERVAL: Final = 0.05
"""Seconds between two looks at what another process does."""


class MachineShare:
    """One model of the user's, named by a key: what is launched, and with which settings."""

    def __init__(self, key: str) -> None:
        self._root = Path(tempfile.gettempdir()) / f"clawdbot-{os.getuid()}"
        self._key = key
        self._users: int | None = None
        self.claim: int | None = None
        """Descriptor of the lock that the process which runs the model inherits; None: another has it."""

    @property
    def socket(self) -> Path:
        """Where the model listens. Short, since a socket's path is limited to 104 bytes."""
        return self._root / self._key / "llama.sock"

    async def claim_or_join(self) -> bool:
        """Waits until this process has the claim, or another one's model listens; whether it has the claim.

        Raises:
            OSError: the folder belongs to another user, or cannot be used.
        """
        self._check_root()
        while True:
            self.claim = self._lock("claim", fcntl.LOCK_EX)
            if self.claim is not None:
                return True
            if self._is_loaded():
                return False
            await asyncio.sleep(POLL_INTERVAL)

    def release(self) -> None:
        """Gives up the claim, once the process that runs the model has ended."""
        if self.claim is not None:
            os.close(self.claim)
            self.claim = None

    async def enter(self) -> None:
        """Keeps the model loaded until `leave`; waits while another process lets it go."""
        self._check_root()
        while self._users is None:
            self._users = self._lock("users", fcntl.LOCK_SH)
            if self._users is None:
                await asyncio.sleep(POLL_INTERVAL)

    def leave(self) -> None:
        """The opposite of `enter`."""
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def keep_out(self) -> int | None:
        """A descriptor that keeps others from entering until it is closed; None: one has entered."""
        return self._lock("users", fcntl.LOCK_EX)

    def _check_root(self) -> None:
        self._root.mkdir(mode=0o700, exist_ok=True)
        found = self._root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(0, f"{self._root} has to be a folder of this user alone")

    def _lock(self, name: str, operation: int) -> int | None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._root / f"{self._key}.{name}", flags, 0o600)
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def _is_loaded(self) -> bool:
        if not self.socket.with_name(LOADED).exists():
            return False
        # A process that was killed leaves its files behind.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            return probe.connect_ex(str(self.socket)) == 0
