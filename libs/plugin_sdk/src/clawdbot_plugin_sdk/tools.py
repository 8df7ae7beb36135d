"""A tool as an author defines it: an async function whose types and docstring tell a model how to call it."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from clawdbot_plugin_sdk import validation
from clawdbot_plugin_sdk.context import Attachment, Context
from clawdbot_plugin_sdk.schemas import RESULT, Arguments, Result

Effect = Literal["none", "repeatable", "once"]

EFFECTS: Final[Mapping[Effect, str]] = {
    "none": "It only reads.",
    "repeatable": "Running it again with the same arguments changes nothing more.",
    "once": "Running it again does it again, so that it must run at most once for one request id.",
}


@dataclass(frozen=True, slots=True)
class ToolReturn:
    """What a call came to."""

    text: str
    """What a model reads: the text itself where the tool returns text, else JSON."""
    structured: Mapping[str, Any] | None
    """The same as an object that fits the output schema; None where the tool returns nothing."""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """One tool. `invoke` runs it; limits are for whoever calls that."""

    name: str
    description: str
    effect: Effect
    timeout: float
    """Seconds."""
    max_in_flight: int
    recognises_repeats: bool
    """True when the tool itself gives the same answer for a repeated `ctx.request_id`."""
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None
    function: Callable[..., Awaitable[Any]]
    arguments: Arguments
    result: Result | None

    async def invoke(self, arguments: Mapping[str, Any], context: Context) -> ToolReturn:
        """Runs the tool.

        Raises:
            ArgumentsDoNotFit: before anything has run.
            ToolError: with a sentence for the model.
            ResultDoesNotFit: when it returned something else than its type says.
        """
        taken = self.arguments.read(arguments)
        context = replace(context, attached=[])
        if self.arguments.context is not None:
            taken[self.arguments.context] = context
        value = await self.function(**taken)
        if self.result is None:
            return ToolReturn("", None, tuple(context.attached))
        written = self.result.write(value)
        loaded = json.loads(written)
        structured = {RESULT: loaded} if self.result.wrapped else loaded
        text = loaded if self.result.is_text else written.decode()
        return ToolReturn(text, structured, tuple(context.attached))


def define(
    plugin: str,
    function: Callable[..., Awaitable[Any]],
    *,
    effect: Effect,
    timeout: str | float,
    max_in_flight: int,
    recognises_repeats: bool,
) -> ToolDefinition:
    """Checks everything an author can get wrong and derives the schemas.

    Raises:
        TypeError: with a sentence that says what to write instead.
    """
    name = validation.name("tool", getattr(function, "__name__", ""))
    where = f"The tool {plugin}.{name}"
    if not inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{where} must be `async def`: only a coroutine can be cancelled when its time is up. Put what "
            "blocks into `await asyncio.to_thread(…)`."
        )
    if effect not in EFFECTS:
        raise TypeError(f"{where}: effect={effect!r}: expected one of {', '.join(EFFECTS)}.")
    if recognises_repeats and effect != "once":
        raise TypeError(f"{where}: recognises_repeats is for a tool whose effect is 'once'.")
    description = inspect.getdoc(function)
    if not description:
        raise TypeError(f"{where} needs a docstring: a model reads it to know when to call the tool.")
    hints = _hints(function, where)
    if "return" not in hints:
        raise TypeError(f"{where} needs a return type; `-> None` where it returns nothing.")
    arguments = Arguments(function, hints, where)
    result = None if hints["return"] is type(None) else Result(hints["return"], where)
    return ToolDefinition(
        name=name,
        description=description,
        effect=effect,
        timeout=validation.seconds("timeout", timeout),
        max_in_flight=validation.count("max_in_flight", max_in_flight),
        recognises_repeats=recognises_repeats,
        input_schema=arguments.schema,
        output_schema=result.schema if result else None,
        function=function,
        arguments=arguments,
        result=result,
    )


def _hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{where}: the type {error.name!r} cannot be found; it must be known where the module is read, "
            "not only to the type checker."
        ) from None
