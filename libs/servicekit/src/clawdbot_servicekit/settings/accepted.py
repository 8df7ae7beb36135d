"""What the workers of a supervisor run on: the configuration that was last accepted.

Its file may be edited, emptied or lost while the server runs. A worker that replaces another one must not run
on something else than its siblings, so it reads what they read. That is in memory that the supervisor shares
with its workers, and in no file, since it contains secrets.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any, Final, Self

from clawdbot_servicekit.settings.document import Document
from clawdbot_servicekit.validation_words import KeyPath

PLACE: Final = Struct("=QQ")
"""At the beginning of the memory: where the configuration is, and how long."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All that settings are made from, as it was when it was read."""

    document: Document
    folder: Path | None = None
    """At which relative paths start."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Path → text of the files of secrets, as far as they have been read."""

    def with_sections(self, newer: Reading, sections: Collection[str]) -> Reading:
        """The same with some sections as a newer reading has them."""

        def merged(old: Mapping[Any, Any], new: Mapping[Any, Any], key: Any) -> dict[Any, Any]:
            return {each: value for each, value in old.items() if key(each) not in sections} | {
                each: value for each, value in new.items() if key(each) in sections
            }

        document = Document(
            merged(self.document.values, newer.document.values, str),
            merged(self.document.origins, newer.document.origins, lambda path: path[0]),
        )
        return Reading(document, newer.folder, {**self.secrets, **newer.secrets})

    def encode(self) -> bytes:
        """All of it as bytes."""
        folder = None if self.folder is None else str(self.folder)
        plain = [self.document.values, [*self.document.origins.items()], folder, self.secrets]
        return json.dumps(plain).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """What was encoded."""
        values, origins, folder, secrets = json.loads(encoded)
        paths: dict[KeyPath, str] = {tuple(path): origin for path, origin in origins}
        return cls(Document(values, paths), None if folder is None else Path(folder), secrets)


class AcceptedConfiguration:
    """The memory that a supervisor shares with its workers. Each process has one such object.

    Args:
        descriptor: of the memory.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> Self:
        """New memory, which lasts as long as a process has it."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("clawdbot-configuration"))
        with tempfile.TemporaryFile() as file:  # it has no name
            return cls(os.dup(file.fileno()))

    def write(self, reading: Reading) -> None:
        """Replaces what is there. A process that is killed meanwhile leaves what was there before."""
        encoded = reading.encode()
        with self._locked(fcntl.LOCK_EX):
            place, length = self._place()
            start = PLACE.size if place - PLACE.size >= len(encoded) else place + length
            rest, at = memoryview(encoded), start
            while rest:
                written = os.pwrite(self.descriptor, rest, at)
                rest, at = rest[written:], at + written
            os.pwrite(self.descriptor, PLACE.pack(start, len(encoded)), 0)

    def read(self) -> Reading | None:
        """What is there; None if nothing was written yet."""
        with self._locked(fcntl.LOCK_SH):
            place, length = self._place()
            encoded = b""
            while len(encoded) < length:
                encoded += os.pread(self.descriptor, length - len(encoded), place + len(encoded))
        return Reading.decode(encoded) if encoded else None

    def close(self) -> None:
        """Releases it in this process."""
        os.close(self.descriptor)

    def _place(self) -> tuple[int, int]:
        header = os.pread(self.descriptor, PLACE.size, 0)
        place, length = PLACE.unpack(header) if header else (PLACE.size, 0)
        return place, length

    @contextmanager
    def _locked(self, operation: int) -> Iterator[None]:
        # Of the process, and not of the descriptor, which all have inherited.
        fcntl.lockf(self.descriptor, operation)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
