"""Logs an exception of a plugin's code by its class and traceback, never by its message.

The message may repeat what the code received: arguments, prompts, secrets that no redaction pattern matches.
"""

from __future__ import annotations

import traceback


def exception_fields(error: BaseException) -> dict[str, str]:
    """Fields for a log event: `error`, the class name, and `trace`, the lines of code, outermost first."""
    return {
        "error": type(error).__qualname__,
        "trace": "".join(traceback.format_tb(error.__traceback__)).rstrip(),
    }
