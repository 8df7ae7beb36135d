"""The JSON Schema of a flow file, for editors: it completes keys and checks the file as the author types."""

from __future__ import annotations

import json

from clawdbot_dialogue.core.flow.parse.source_model import FlowSource

SCHEMA_FILE = "flow.v1.schema.json"
"""The file's name, beside the shipped flows."""


def flow_schema() -> str:
    """The schema generated from the source model and the installed languages, as the text of its file."""
    schema = FlowSource.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_FILE}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"
