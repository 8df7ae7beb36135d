"""Durations as people write them: "30s", "1m30s", "250ms"."""

from __future__ import annotations

import re
from typing import Final

SECONDS_PER_UNIT: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def duration_seconds(text: str) -> float:
    """The seconds of a duration.

    The plugin SDK, which stands alone, reads durations in the same way (clawdbot_plugin_sdk.validation).

    Raises:
        ValueError: for text that is not a duration.
    """
    text = text.strip().lower()
    # First, since looking for parts in many digits without a unit takes time that grows with their square.
    if not _WHOLE.fullmatch(text):
        raise ValueError("expected a duration such as 30s, 10m or 1m30s")
    return sum(float(number) * SECONDS_PER_UNIT[unit] for number, unit in _PART.findall(text))


def duration_text(seconds: float) -> str:
    """The same for people: "1m30s"; whole seconds, or milliseconds below one."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    text, left = "", round(seconds)
    for unit in ("d", "h", "m", "s"):
        number, left = divmod(left, int(SECONDS_PER_UNIT[unit]))
        text += f"{number}{unit}" if number else ""
    return text
