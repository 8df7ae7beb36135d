"""Files and folders for this user alone, whatever the umask, and in folders that others can read.

The services write down what people said and what operators decided. Folders that exist stay as they are.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def create_folder(folder: Path) -> None:
    """Creates a folder and its missing parents. OSError as for mkdir."""
    for each in reversed((folder, *folder.parents)):
        if each != folder and each.exists():
            continue
        try:
            each.mkdir(FOLDER_MODE)
        except FileExistsError:
            if not each.is_dir():
                raise
        else:
            each.chmod(FOLDER_MODE)


def open_private(path: Path | str, flags: int) -> int:
    """Returns a descriptor of the file, which is created if it is missing. OSError as for os.open."""
    descriptor = os.open(path, flags | os.O_CREAT, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def create_private(path: Path) -> None:
    """Creates an empty file, or makes an existing one private, without opening that.

    To close a file that this process also has open elsewhere would give up the locks that SQLite holds on it
    (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
    """
    try:
        os.close(open_private(path.resolve(), os.O_RDWR | os.O_EXCL))
    except FileExistsError:
        make_private(path)


def replace_private(path: Path, content: bytes) -> None:
    """Replaces the file's content at once: a reader sees all of the old one, or all of the new one."""
    new_path = path.with_suffix(".new")
    with os.fdopen(open_private(new_path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(content)
    new_path.replace(path)


def make_private(path: Path) -> None:
    """Makes a file private if it exists. Another user's stays as its owner made it."""
    with suppress(FileNotFoundError, PermissionError):
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and stat.S_IMODE(mode) != FILE_MODE:
            path.chmod(FILE_MODE)
