"""Names of sessions and turns: session ids cannot be guessed, a turn's id says where it stands."""

from __future__ import annotations

import base64
import re
import secrets

SESSION_ID = re.compile(r"[a-z2-7]{26}")
"""128 random bits in lower-case base32: safe in shells, URLs and file names."""


def new_session_id() -> str:
    """A session id that nobody can guess."""
    return base64.b32encode(secrets.token_bytes(16)).decode("ascii").rstrip("=").lower()


def turn_id(session_id: str, number: int) -> str:
    """The id of a session's n-th turn, from 1."""
    return f"{session_id}-{number}"


def turn_number(session_id: str, turn: str) -> int | None:
    """The position that a turn's id speaks of; None where it is not an id of this session."""
    head, dash, tail = turn.rpartition("-")
    if head != session_id or not dash or not re.fullmatch(r"[1-9][0-9]{0,8}", tail):
        return None
    return int(tail)
