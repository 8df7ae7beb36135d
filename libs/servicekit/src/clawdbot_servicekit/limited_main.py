"""The main function of a limited process: sets the limits, and answers questions. Imports little."""

from __future__ import annotations

import gc
import resource
import struct
import sys
from collections.abc import Callable
from typing import Final

LENGTH: Final = struct.Struct(">I")
"""Before each question and answer: its length in bytes."""
OUT_OF_MEMORY: Final = 77
"""Exit code of a process that reached its limit of memory and noticed."""


def serve_questions(answer: Callable[[bytes], bytes]) -> None:
    """Answers questions from standard input until it ends, within the limits that the arguments tell."""
    seconds, memory = (int(each) for each in sys.argv[1:3])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # Holds also after the process that asks has died.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.disable()  # the process is short-lived, and collecting takes half of its time
    source, target = sys.stdin.buffer, sys.stdout.buffer
    try:
        while header := source.read(LENGTH.size):
            (length,) = LENGTH.unpack(header)
            reply = answer(source.read(length))
            target.write(LENGTH.pack(len(reply)) + reply)
            target.flush()
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
