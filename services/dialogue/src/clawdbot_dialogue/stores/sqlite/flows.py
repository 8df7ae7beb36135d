"""Deployed flows in SQLite: kept for good, numbered in the order in which they were committed."""

from __future__ import annotations

import sqlite3
from typing import Final

from clawdbot_dialogue.core.errors import FlowExists
from clawdbot_dialogue.core.sessions.records import DeployedFlow

KEPT: Final = """
    SELECT number, name, version, source, deploy_time FROM flows WHERE name = ? AND version = ?
"""
BEYOND: Final = """
    SELECT number, name, version, source, deploy_time FROM flows WHERE number > ? ORDER BY number
"""


def deploy(db: sqlite3.Connection, name: str, version: int, source: str, now: float) -> DeployedFlow:
    """Keeps a version, or finds it kept. Within a transaction that may write: one of two rivals wins."""
    row = db.execute(KEPT, (name, version)).fetchone()
    if row is not None:
        kept = DeployedFlow(*row)
        if kept.source != source:
            raise FlowExists(name, version)
        return kept
    number = db.execute(
        "INSERT INTO flows (name, version, source, deploy_time) VALUES (?, ?, ?, ?)",
        (name, version, source, now),
    ).lastrowid
    assert number is not None  # noqa: S101 - an INSERT has one
    return DeployedFlow(number, name, version, source, now)


def deployed(db: sqlite3.Connection, after: int) -> tuple[DeployedFlow, ...]:
    """Those beyond a number, in order."""
    rows = db.execute(BEYOND, (after,))
    return tuple(DeployedFlow(*row) for row in rows)
