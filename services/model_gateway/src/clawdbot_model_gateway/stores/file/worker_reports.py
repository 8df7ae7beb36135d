"""What each worker of a machine last reported about itself: a small file for each, beside their locks.

A report has a checksum, since it is read while its worker may write the next one. Reports of dead workers are
found by their locks (servicekit.process_locks) and removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.private_files import create_folder, open_private
from clawdbot_servicekit.process_locks import ProcessLocks
from typing_extensions import override

from clawdbot_model_gateway.core.machine_load import WorkerReports

HEADER: Final = Struct("=II")
"""Checksum and length of what follows."""
SUFFIX: Final = ".report"
MAX_TRIES: Final = 3
"""A report that is being written is read again."""


class FileWorkerReports(WorkerReports):
    """Keeps the reports in a folder.

    Args:
        folder: the same for all workers of the machine.
        locks: tell which processes are alive. Open while this is.
    """

    def __init__(self, folder: Path, locks: ProcessLocks) -> None:
        self._folder = folder
        self._locks = locks
        self._path = folder / f"{locks.me}{SUFFIX}"
        self._descriptor: int | None = None
        self._last = b""

    @override
    def open(self) -> None:
        try:
            create_folder(self._folder)
            self._descriptor = open_private(self._path, os.O_RDWR)
        except OSError as error:
            raise StartupError(
                f"The folder {self._folder} cannot be used ({error.strerror}): set state_dir to another one."
            ) from None

    @override
    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    @override
    def write(self, report: bytes) -> None:
        if self._descriptor is None or report == self._last:
            return
        os.pwrite(self._descriptor, HEADER.pack(crc32(report), len(report)) + report, 0)
        self._last = report

    @override
    def others(self) -> Iterator[bytes]:
        for path in self._folder.glob(f"*{SUFFIX}"):
            if path == self._path:
                continue
            if self._locks.gone(path.stem):
                path.unlink(missing_ok=True)
            else:
                yield _read(path)


def _read(path: Path) -> bytes:
    """The report; empty where there is none yet, or none that is whole."""
    for _ in range(MAX_TRIES):
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            if len(content) >= HEADER.size:
                checksum, length = HEADER.unpack_from(content)
                report = content[HEADER.size : HEADER.size + length]
                if crc32(report) == checksum:
                    return report
    return b""
