"""The JSON Schema of a flow file, for editors: they complete keys and check as one writes."""

from __future__ import annotations

import json
from importlib import resources

from clawdbot_dialogue.core.flow.parse.source_model import FlowSource

SCHEMA_FILE = "flow.v1.schema.json"
"""Its name, beside the shipped flows."""


def flow_schema() -> str:
    """The schema, as the text of its file."""
    schema = FlowSource.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_FILE}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def published_schema() -> str:
    """The schema as it is published; the same text, unless it is stale."""
    return resources.files("clawdbot_dialogue").joinpath("flows", SCHEMA_FILE).read_text(encoding="utf-8")
