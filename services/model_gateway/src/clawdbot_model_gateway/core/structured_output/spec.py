"""What form a reply shall have, and where in a text the JSON is."""

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
MOST_TRIED: Final = 50
"""Places where JSON may begin among words, and as many fences."""

_FENCE: Final = re.compile(r"^[ \t]*```(?:json)?[ \t]*$", re.MULTILINE | re.IGNORECASE)
_OPENING: Final = re.compile(r"[{\[]")


class Form:
    """A form that a reply's text shall have."""

    def __init__(self, wanted: ResponseFormat) -> None:
        """Takes what was asked for: json or json_schema."""
        self.kind = wanted.WhichOneof("format") or ""
        """ "json" or "json_schema"."""
        self.name = wanted.json_schema.name
        self.schema: Mapping[str, Any] = (
            to_plain(wanted.json_schema.schema) if self.kind == "json_schema" else ANY_OBJECT
        )

    @property
    def of_object(self) -> bool:
        """Whether it is an object's, as the arguments of a tool are."""
        return self.schema.get("type") == "object"


def json_in(text: str) -> str:
    """The JSON that a reply holds among its words: all of it, what stands in a fence, else the first value.

    The text as it is, where there is none.
    """
    return next((each for each in _candidates(text) if _is_json(each)), text.strip())


def _candidates(text: str) -> Iterator[str]:
    yield text.strip()
    # Split, not matched from fence to fence: a model that repeats fences for ever would make that quadratic.
    for fenced in _FENCE.split(text, MOST_TRIED)[1:]:
        yield fenced.strip()
    decoder = json.JSONDecoder()
    for _, opening in zip(range(MOST_TRIED), _OPENING.finditer(text), strict=False):
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
