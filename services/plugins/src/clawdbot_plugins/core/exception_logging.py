"""What the log is told of an exception in a plugin's code: its kind and its way, never its words.

The words may repeat what the code was given: arguments, prompts, secrets that no pattern knows.
"""

from __future__ import annotations

import traceback


def without_words(error: BaseException) -> dict[str, str]:
    """Fields for a log event: `error`, the class, and `trace`, the lines of code, outermost first."""
    return {
        "error": type(error).__qualname__,
        "trace": "".join(traceback.format_tb(error.__traceback__)).rstrip(),
    }
