"""Writes the JSON Schema of flow files beside the shipped flows, generated from the source model.

A test compares the published file with what this writes.
"""

from __future__ import annotations

from pathlib import Path

from clawdbot_dialogue.core.flow.parse.json_schema import SCHEMA_FILE, flow_schema

FLOWS = (
    Path(__file__).resolve().parent.parent / "services" / "dialogue" / "src" / "clawdbot_dialogue" / "flows"
)

if __name__ == "__main__":
    (FLOWS / SCHEMA_FILE).write_text(flow_schema(), encoding="utf-8")
