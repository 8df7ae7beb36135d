"""Tells whether the terminal that a process was started from is gone.

SIGHUP has two meanings: the terminal was closed, or an operator asks a daemon to read its configuration
again.
"""

from __future__ import annotations

import os
from typing import Final

STANDARD_STREAMS: Final = (0, 1, 2)


class Terminal:
    """The terminal at the standard streams when this was made, if there was one."""

    def __init__(self) -> None:
        self._descriptors = [each for each in STANDARD_STREAMS if os.isatty(each)]

    @property
    def gone(self) -> bool:
        """Whether there was one and it has been closed: then the system no longer takes it for a terminal."""
        return bool(self._descriptors) and not any(map(os.isatty, self._descriptors))
