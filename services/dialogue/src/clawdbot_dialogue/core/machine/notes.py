"""What an operator may want to know about a step, and that changed nothing for the person."""

from __future__ import annotations

from msgspec import Struct


class Note(Struct, frozen=True):
    """One remark. Codes: ignored-event, guard-failed, value-missing, not-set, not-interpreted."""

    code: str
    message: str
    flow: str
    state: str
