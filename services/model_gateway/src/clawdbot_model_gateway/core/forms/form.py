"""What form a reply shall have, and whether a text has it.

The checking is bounded: patterns are matched in linear time, and a schema's references lead nowhere outside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema_rs
import orjson
from clawdbot.model_gateway.v1.generation_pb2 import ResponseFormat
from clawdbot_servicekit.faults import InvalidRequest
from clawdbot_servicekit.structs import to_plain

ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}
"""The schema of the format `json`."""
MOST_TOLD: Final = 5
"""What does not fit, told at once."""
LONGEST_TOLD: Final = 300
"""Characters of each: a value that is repeated in it may be huge."""
MOST_TRIED: Final = 50
"""Places where JSON may begin among words."""

_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL | re.IGNORECASE)
_OPENING: Final = re.compile(r"[{\[]")


class Form:
    """A form that a reply's text shall have."""

    def __init__(self, wanted: ResponseFormat) -> None:
        """Takes what was asked for: json or json_schema.

        Raises:
            InvalidRequest: the schema is none, or has a pattern that cannot be matched in linear time.
        """
        self.kind = wanted.WhichOneof("format") or ""
        """ "json" or "json_schema"."""
        self.name = wanted.json_schema.name
        self.schema: Mapping[str, Any] = (
            to_plain(wanted.json_schema.schema) if self.kind == "json_schema" else ANY_OBJECT
        )
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                dict(self.schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
            )
        except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            raise InvalidRequest.of("response_format.json_schema.schema", f"{_cut(str(error))}.") from None

    @property
    def of_object(self) -> bool:
        """Whether it is an object's, as the arguments of a tool are."""
        return self.schema.get("type") == "object"

    def fault(self, text: str) -> str:
        """What does not fit, in a few lines; empty where the text has the form."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return f"It is not JSON: {_cut(str(error))}."
        found = zip(range(MOST_TOLD), self._validator.iter_errors(value), strict=False)
        return "\n".join(f"{_path(error.instance_path)}: {_cut(error.message)}." for _, error in found)


def json_in(text: str) -> str:
    """The JSON that a reply holds among its words: all of it, what stands in a fence, else the first value.

    The text as it is, where there is none.
    """
    return next((each for each in _candidates(text) if _is_json(each)), text.strip())


def _candidates(text: str) -> Iterator[str]:
    yield text.strip()
    for fenced in _FENCE.finditer(text):
        yield fenced[1].strip()
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


def _path(parts: list[str | int]) -> str:
    """As people write it: guests[0].name; "the value" for the whole."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".") or "the value"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TOLD else f"{text[:LONGEST_TOLD]}…"
