"""The requested format of a reply, and how JSON is found in a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from clawdbot.model_gateway.v1.generation_pb2 import ResponseFormat
from clawdbot_servicekit.structs import to_plain

ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}
"""The schema of the format `json`."""
MAX_CANDIDATES: Final = 50
"""Places in a text that are tried as the start of JSON; the same number of code fences is tried."""

_FENCE: Final = re.compile(r"^[ \t]*```(?:json)?[ \t]*$", re.MULTILINE | re.IGNORECASE)
_OPENING: Final = re.compile(r"[{\[]")


class FormatSpec:
    """The requested format of a reply's text."""

    def __init__(self, requested: ResponseFormat) -> None:
        """Reads a response format that is json or json_schema."""
        self.kind = requested.WhichOneof("format") or ""
        """ "json" or "json_schema"."""
        self.name = requested.json_schema.name
        self.schema: Mapping[str, Any] = (
            to_plain(requested.json_schema.schema) if self.kind == "json_schema" else ANY_OBJECT
        )

    @property
    def is_object(self) -> bool:
        """Whether the schema is an object's, as the schema of tool arguments has to be."""
        return self.schema.get("type") == "object"


def extract_json(text: str) -> str:
    """The JSON in a text: the whole text, else the content of a code fence, else the first value in it.

    Where there is none, the text itself.
    """
    return next((each for each in _candidates(text) if _is_json(each)), text.strip())


def _candidates(text: str) -> Iterator[str]:
    yield text.strip()
    # Split, not matched from fence to fence: a model that repeats fences endlessly would make that quadratic.
    for fenced in _FENCE.split(text, MAX_CANDIDATES)[1:]:
        yield fenced.strip()
    decoder = json.JSONDecoder()
    for _, opening in zip(range(MAX_CANDIDATES), _OPENING.finditer(text), strict=False):
        try:
            _, end = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            continue
        yield text[opening.start() : end]


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
