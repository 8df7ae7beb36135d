"""Ids of sessions and turns: a session's cannot be guessed, a turn's has its number at the end."""

from __future__ import annotations

import base64
import re
import secrets


def new_session_id() -> str:
    """Returns 128 random bits in lower-case base32: safe in shells, URLs and file names."""
    return base64.b32encode(secrets.token_bytes(16)).decode("ascii").rstrip("=").lower()


def turn_id(session_id: str, number: int) -> str:
    """Returns the id of a session's n-th turn, counted from 1."""
    return f"{session_id}-{number}"


def turn_number(session_id: str, turn: str) -> int | None:
    """Returns the number in a turn's id; None if it is not the id of a turn of this session."""
    head, dash, tail = turn.rpartition("-")
    if head != session_id or not dash or not re.fullmatch(r"[1-9][0-9]{0,8}", tail):
        return None
    return int(tail)
