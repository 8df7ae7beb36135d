"""How this installation was built."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec


def core_is_compiled() -> bool:
    """Returns whether the core is compiled to machine code; docs/decisions/0008 lists its modules."""
    spec = find_spec("clawdbot_dialogue.core.machine.step")
    return bool(spec and spec.origin and spec.origin.endswith(tuple(EXTENSION_SUFFIXES)))
