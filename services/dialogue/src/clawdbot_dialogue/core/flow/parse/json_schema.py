"""The JSON Schema of a flow file, for editors: it completes keys and checks the file as the author types."""

from __future__ import annotations

import json
from importlib import resources

from clawdbot_dialogue.core.flow.parse.source_model import FlowSource

SCHEMA_FILE = "flow.v1.schema.json"
"""The file's name, beside the shipped flows."""


def flow_schema() -> str:
    """The schema generated from the source model, as the text of its file."""
    schema = FlowSource.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_FILE}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def published_schema() -> str:
    """The schema file that ships; it equals flow_schema() unless it is stale, which a test checks."""
    return resources.files("clawdbot_dialogue").joinpath("flows", SCHEMA_FILE).read_text(encoding="utf-8")
