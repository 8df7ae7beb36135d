"""A bound of processor time. Unlike a bound of time, it does not depend on how busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT = 40.0
"""Seconds: ten times what any of the tests needs. What they guard against needs minutes, or never ends."""


@contextmanager
def bounded() -> Iterator[None]:
    """Fails if the block needs more than LIMIT of this process."""
    began = time.process_time()
    yield
    needed = time.process_time() - began
    assert needed < LIMIT, f"it needs {needed:.0f} s of the processor"
