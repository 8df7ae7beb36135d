"""What all tests share: assertions that explain themselves, the profile of property tests, work done once."""

import gc
import os
import shutil
import socket
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 4 * 1024**3
"""Bytes free: tests leave a fraction of them."""

pytest.register_assert_rewrite("tests.contract", "tests.e2e", "tests.support")


def pytest_configure() -> None:
    from tests.support.properties import load_profile

    load_profile()
    # Tests that configure no model expect the echo, whether or not a model's package is installed.
    os.environ.setdefault("CLAWDBOT_GATEWAY__LOCAL_MODEL", "false")
    _scan_packages_once()
    _keep_files_in_memory()


def _scan_packages_once() -> None:
    """Each suite that a test starts looks for plugins, providers and languages in all installed packages."""
    scan = metadata.entry_points

    @cache
    def scan_of(folders: tuple[tuple[str, int], ...], group: str) -> metadata.EntryPoints:
        return scan(group=group)

    metadata.entry_points = lambda *, group: scan_of(
        tuple((each, _changed_at(each)) for each in sys.path), group
    )


def _changed_at(folder: str) -> int:
    """When something was last added to it; 0 if it is not there."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _keep_files_in_memory() -> None:
    """SQLite waits for the disk at each commit. Tests kill processes, and these files outlive those, too."""
    if not MEMORY.is_dir() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return
    if shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_sessionstart(session: pytest.Session) -> None:
    # pytest-rerunfailures sends two small messages for each test, the second of which would wait for 40 ms.
    connection = getattr(getattr(session.config, "failures_db", None), "sock", None)
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def pytest_collection() -> None:
    # What is collected stays: a fifth of the time went into looking at it for garbage, again and again.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
