"""Checks a schema, and whether a text fits it. No more than that is imported: it also runs as a process.

`python -m …forms.judge` reads JSON, {"schema": …, "text": … or null}, and answers with one:
{"mistake": …} of a schema that is none, or {"fault": …} of the text. checking.py says why, and ends it.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs
import orjson

MOST_TOLD: Final = 5
"""What does not fit, told at once."""
LONGEST_TOLD: Final = 300
"""Characters of each: a value that is repeated in it may be huge."""
MOST_CPU: Final = 6
"""Seconds of a processor. Whoever began it ends it before, unless that is gone."""
MOST_MEMORY: Final = 1024**3
"""Bytes of addresses that the process may use: the same fault may be found a million times."""


class NoSchema(Exception):
    """What was given as a schema is none, or one that cannot be checked."""


def fault_of(schema: Mapping[str, Any], text: str | None) -> str:
    """What does not fit, in a few lines; empty where the text does, or there is none yet.

    Patterns are matched in linear time, and references lead nowhere outside.

    Raises:
        NoSchema: the schema is none, or has a pattern that cannot be matched in linear time.
    """
    try:
        validator = jsonschema_rs.Draft202012Validator(
            dict(schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise NoSchema(f"{_cut(str(error))}.") from None
    if text is None:
        return ""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"It is not JSON: {_cut(str(error))}."
    found = zip(range(MOST_TOLD), validator.iter_errors(value), strict=False)
    return "\n".join(f"{_path(error.instance_path)}: {_cut(error.message)}." for _, error in found)


def _path(parts: list[str | int]) -> str:
    """As people write it: guests[0].name; "the value" for the whole."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return _cut(path.removeprefix(".")) or "the value"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TOLD else f"{text[:LONGEST_TOLD]}…"


def main() -> None:
    """Judges once."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU, MOST_CPU))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task: dict[str, Any] = orjson.loads(sys.stdin.buffer.read())
    try:
        verdict = {"fault": fault_of(task["schema"], task["text"])}
    except NoSchema as mistake:
        verdict = {"mistake": str(mistake)}
    sys.stdout.buffer.write(orjson.dumps(verdict))


if __name__ == "__main__":
    main()
