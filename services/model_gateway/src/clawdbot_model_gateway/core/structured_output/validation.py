"""Checking that is bounded, whatever the schema and whatever the answer.

A validator follows references, and a schema of ten lines can make it visit an answer 2^40 times, or deeper
than a thread's stack goes; it holds the interpreter's lock meanwhile, and nothing can interrupt it. So what
is surely short is done here, and all else in a process of its own, which is ended when it takes too long.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from clawdbot_servicekit.errors import InvalidRequest

from clawdbot_model_gateway.core.structured_output.validator_process import NoSchema, fault_of

LARGEST_SCHEMA: Final = 256 * 1024
"""Bytes of a schema as JSON. Vendors that take schemas themselves allow about half of it."""
LARGEST_ANSWER: Final = 1024 * 1024
"""Characters of an answer that are looked at."""
SHORT: Final = 250_000
"""Bytes of the schema times those of the answer: without references each keyword meets each value once at
most. The worst measured takes 30 ms (alternatives seven deep, none of which fits), the usual 0.1 ms."""
COMPILED: Final = 16 * 1024
"""Bytes of a schema that is compiled here: 1 ms."""
FAR: Final = (b'"$ref"', b'"$dynamicRef"', b'"$recursiveRef"', b'"pattern"', b'"patternProperties"')
"""Keywords whose cost is not in the schema's size."""
PATIENCE: Final = 5.0
"""Seconds that a process may take. It needs 50 ms to start."""
AT_ONCE: Final = 4
"""Processes that one gateway may have running."""
JUDGE: Final = "clawdbot_model_gateway.core.structured_output.validator_process"
SCHEMA_FIELD: Final = "response_format.json_schema.schema"


class TooIntricate(Exception):
    """A check took too long, too much memory or too much stack."""


class Judges:
    """The processes of one gateway that check what may take long: few at once, each for one check."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)

    async def verdict(self, task: bytes) -> bytes:
        """What judge.py answers.

        Raises:
            TooIntricate: it did not, in time.
        """
        async with self._room:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", JUDGE),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(PATIENCE):
                    verdict, _ = await process.communicate(task)
            except TimeoutError:
                raise TooIntricate from None
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
        if process.returncode:
            raise TooIntricate
        return verdict


class Checking:
    """Checks texts against one schema."""

    def __init__(self, schema: Mapping[str, Any], judges: Judges) -> None:
        self._schema = schema
        self._judges = judges
        self._written = orjson.dumps(dict(schema))

    async def begin(self) -> None:
        """Looks at the schema alone.

        Raises:
            InvalidRequest: it is none, or larger than what is taken, or too intricate.
        """
        if len(self._written) > LARGEST_SCHEMA:
            told = f"Has {len(self._written)} bytes; at most {LARGEST_SCHEMA} are allowed."
            raise InvalidRequest.of(SCHEMA_FIELD, told)
        try:
            await self._judged(None)
        except NoSchema as mistake:
            raise InvalidRequest.of(SCHEMA_FIELD, str(mistake)) from None
        except TooIntricate:
            raise InvalidRequest.of(SCHEMA_FIELD, "Is too intricate to be checked.") from None

    async def fault(self, text: str) -> str:
        """What does not fit, in a few lines; empty where the text has the form."""
        if len(text) > LARGEST_ANSWER:
            return f"It has {len(text)} characters; at most {LARGEST_ANSWER} are allowed."
        try:
            return await self._judged(text)
        except TooIntricate:
            return "It could not be checked in time: it is too large or too deep for its schema."

    async def _judged(self, text: str | None) -> str:
        size = len(self._written)
        if (
            size <= COMPILED
            and size * len(text or "") <= SHORT
            and not any(keyword in self._written for keyword in FAR)
        ):
            return fault_of(self._schema, text)
        task = b'{"schema":%b,"text":%b}' % (self._written, orjson.dumps(text))
        verdict = orjson.loads(await self._judges.verdict(task))
        if "mistake" in verdict:
            raise NoSchema(verdict["mistake"])
        return str(verdict["fault"])
