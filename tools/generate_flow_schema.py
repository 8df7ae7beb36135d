"""Writes the JSON Schema of flow files, generated from the models that check them, beside the shipped flows.

A test compares the published file with what this would write.
"""

from __future__ import annotations

from pathlib import Path

from clawdbot_dialogue.core.flow.parse.json_schema import SCHEMA_FILE, flow_schema

FLOWS = (
    Path(__file__).resolve().parent.parent / "services" / "dialogue" / "src" / "clawdbot_dialogue" / "flows"
)

if __name__ == "__main__":
    (FLOWS / SCHEMA_FILE).write_text(flow_schema(), encoding="utf-8")
