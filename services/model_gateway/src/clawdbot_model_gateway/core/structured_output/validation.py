"""Validates replies against a schema in bounded time and memory, whatever the schema and the reply.

A validator follows references: a schema of ten lines can make it visit a reply 2^40 times, or recurse deeper
than a thread's stack allows. It holds the GIL meanwhile, and nothing can interrupt it. So only cheap
validation happens in this process; everything else gets a process of its own, which is killed when it takes
too long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.limited_process import LimitedProcesses, LimitReached, Limits

from clawdbot_model_gateway.core.structured_output.validator_process import InvalidSchema, validation_errors

MAX_SCHEMA_BYTES: Final = 256 * 1024
"""Size of a schema as JSON. Vendors that support schemas allow about half of it."""
MAX_REPLY_CHARACTERS: Final = 1024 * 1024
"""Characters of a reply that is validated."""
MAX_INLINE_COST: Final = 250_000
"""Bytes of the schema times characters of the reply. Without references each keyword meets each value at most
once. The worst case measured takes 30 ms (alternatives seven levels deep, none of which matches), a typical
one 0.1 ms."""
MAX_INLINE_SCHEMA_BYTES: Final = 16 * 1024
"""Bytes of a schema that is compiled in this process: 1 ms."""
UNBOUNDED_KEYWORDS: Final = (
    b'"$ref"',
    b'"$dynamicRef"',
    b'"$recursiveRef"',
    b'"pattern"',
    b'"patternProperties"',
)
"""Keywords whose cost does not follow from the schema's size."""
VALIDATION_LIMITS: Final = Limits(seconds=5.0, memory=1024**3, processes=4)
"""Of the processes of one gateway. One needs 50 ms to start; the same error may occur a million times."""
VALIDATOR_MODULE: Final = "clawdbot_model_gateway.core.structured_output.validator_process"
SCHEMA_FIELD: Final = "response_format.json_schema.schema"


def validator_processes() -> LimitedProcesses:
    """The validator processes of one gateway."""
    return LimitedProcesses(VALIDATOR_MODULE, VALIDATION_LIMITS)


class SchemaValidator:
    """Validates texts against one schema."""

    def __init__(self, schema: Mapping[str, Any], processes: LimitedProcesses) -> None:
        self._schema = schema
        self._processes = processes
        self._schema_json = orjson.dumps(dict(schema))

    async def check_schema(self) -> None:
        """Checks the schema itself.

        Raises:
            InvalidRequest: it is invalid, too large, or too complex.
        """
        size = len(self._schema_json)
        if size > MAX_SCHEMA_BYTES:
            raise InvalidRequest.of(
                SCHEMA_FIELD, f"Has {size} bytes; at most {MAX_SCHEMA_BYTES} are allowed."
            )
        try:
            await self._validate(None)
        except InvalidSchema as error:
            raise InvalidRequest.of(SCHEMA_FIELD, str(error)) from None
        except LimitReached:
            raise InvalidRequest.of(SCHEMA_FIELD, "Is too complex to validate.") from None

    async def errors_in(self, text: str) -> str:
        """The first errors of a text, one per line; empty where it is valid."""
        if len(text) > MAX_REPLY_CHARACTERS:
            return f"It has {len(text)} characters; at most {MAX_REPLY_CHARACTERS} are allowed."
        try:
            return await self._validate(text)
        except LimitReached:
            return "It could not be validated in time: it is too large or too deep for its schema."

    async def _validate(self, text: str | None) -> str:
        size = len(self._schema_json)
        if (
            size <= MAX_INLINE_SCHEMA_BYTES
            and size * len(text or "") <= MAX_INLINE_COST
            and not any(keyword in self._schema_json for keyword in UNBOUNDED_KEYWORDS)
        ):
            return validation_errors(self._schema, text)
        task = b'{"schema":%b,"text":%b}' % (self._schema_json, orjson.dumps(text))
        async with self._processes.start() as process:
            result = orjson.loads(await process.ask(task))
        if "schema_error" in result:
            raise InvalidSchema(result["schema_error"])
        return str(result["errors"])
