"""Real faults of a disk, made and undone by a test."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str = "8m") -> Iterator[Path]:
    """A disk of its own at the folder. Skips the test where that takes more rights than it has."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk of its own takes the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fills the disk to its last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            while _write(file.fileno(), size):
                pass
    try:
        yield
    finally:
        ballast.unlink()


def _write(descriptor: int, size: int) -> bool:
    try:
        return os.write(descriptor, bytes(size)) == size
    except OSError:
        return False


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """A file or folder is gone; then it is put back."""
    away = path.with_name(f"{path.name}-moved-away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@contextmanager
def deleted(path: Path) -> Iterator[None]:
    """A SQLite file and its log are gone; then a backup takes their place."""
    backup = path.with_name("backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    try:
        yield
    finally:
        backup.rename(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the SQLite file's lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
