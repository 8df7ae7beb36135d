"""Reads the files that settings name: only regular ones, and only up to a size.

A device may never end, and a FIFO waits for its other end, so neither is opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

MAX_TEXT_FILE: Final = 4 * 1024 * 1024
"""Bytes of a configuration, or of certificates: the authorities of a whole system have 0.3 MB."""


def require_regular(path: Path) -> None:
    """Returns if the path is a regular file, or a link to one.

    Raises:
        OSError: it is not, or there is none; `strerror` says so in words for people.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_regular(path: Path, limit: int = MAX_TEXT_FILE) -> bytes:
    """The content of a regular file of at most `limit` bytes. OSError as for require_regular."""
    require_regular(path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", str(path))
    return content


FileStates: TypeAlias = tuple[tuple[Path, object], ...]
"""Files, each with what differs as soon as its content does."""


def file_states(paths: Iterable[Path]) -> FileStates:
    """The states of files as they are now. One that is missing or unreadable has a state as well."""
    return tuple((path, _state(path)) for path in paths)


def _state(path: Path) -> object:
    try:
        require_regular(path)
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
    except OSError as error:
        return error.strerror
    # No program can set the time of the last change (ctime), as it can the other one.
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns
