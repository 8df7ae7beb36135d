"""How many examples a property test tries: all of them in CI, a fifth of them on a developer's machine."""

from __future__ import annotations

import os

from hypothesis import settings

THOROUGH = bool(os.environ.get("CI"))
SHARE = 1 if THOROUGH else 5


def examples(count: int) -> int:
    """The number of examples to try here, for a test that tries `count` of them in CI."""
    return max(5, count // SHARE)


def load_profile() -> None:
    """Sets what tests without settings of their own try. Bounds of time are not hypothesis's business."""
    settings.register_profile("clawdbot", max_examples=examples(100), deadline=None)
    settings.load_profile("clawdbot")
