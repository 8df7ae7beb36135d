"""Restores logging after a test that configures it as a process does."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def logging_restored() -> Iterator[None]:
    """Restores what logs.configure changes for the whole process."""
    root, grpc_, hooks = (
        logging.getLogger(),
        logging.getLogger("grpc"),
        (sys.excepthook, threading.excepthook),
    )
    handlers, levels = root.handlers[:], (root.level, grpc_.level)
    try:
        yield
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        grpc_.setLevel(levels[1])
        sys.excepthook, threading.excepthook = hooks
