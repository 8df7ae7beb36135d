"""SQL of deployed flows: kept for as long as the file, numbered in the order of their commits."""

from __future__ import annotations

import sqlite3
from typing import Final

from clawdbot_dialogue.core.errors import FlowExists
from clawdbot_dialogue.core.sessions.records import DeployedFlow

ONE_VERSION: Final = """
    SELECT number, name, version, source, deploy_time FROM flows WHERE name = ? AND version = ?
"""
AFTER_NUMBER: Final = """
    SELECT number, name, version, source, deploy_time FROM flows WHERE number > ? ORDER BY number
"""


def deploy(db: sqlite3.Connection, name: str, version: int, source: str, now: float) -> DeployedFlow:
    """SessionStore.deploy_flow. Needs a transaction that may write: one of two rivals wins."""
    row = db.execute(ONE_VERSION, (name, version)).fetchone()
    if row is not None:
        stored = DeployedFlow(*row)
        if stored.source != source:
            raise FlowExists(name, version)
        return stored
    number = db.execute(
        "INSERT INTO flows (name, version, source, deploy_time) VALUES (?, ?, ?, ?)",
        (name, version, source, now),
    ).lastrowid
    assert number is not None  # noqa: S101 - an INSERT has one
    return DeployedFlow(number, name, version, source, now)


def deployed(db: sqlite3.Connection, after: int) -> tuple[DeployedFlow, ...]:
    """SessionStore.deployed_flows."""
    rows = db.execute(AFTER_NUMBER, (after,))
    return tuple(DeployedFlow(*row) for row in rows)
