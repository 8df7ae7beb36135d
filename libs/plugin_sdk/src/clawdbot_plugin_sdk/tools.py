"""Tool definitions: an async function whose types and docstring tell a model how to call it."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from clawdbot_plugin_sdk import validation
from clawdbot_plugin_sdk.context import Attachment, Context
from clawdbot_plugin_sdk.schemas import RESULT_KEY, Arguments, Result

Effect = Literal["none", "repeatable", "once"]

EFFECTS: Final[Mapping[Effect, str]] = {
    "none": "It only reads.",
    "repeatable": "A second run with the same arguments changes nothing more.",
    "once": "A second run repeats the effect, so it must run at most once for each request id.",
}


@dataclass(frozen=True, slots=True)
class ToolReturn:
    """The result of a call."""

    text: str
    """For a model: the text itself if the tool returns text, otherwise JSON."""
    structured: Mapping[str, Any] | None
    """The same as an object that matches the output schema; None if the tool returns nothing."""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """One tool. `invoke` runs it; enforcing the limits is up to the caller of `invoke`."""

    name: str
    description: str
    effect: Effect
    timeout: float
    """Seconds."""
    max_in_flight: int
    recognises_repeats: bool
    """True if the tool itself returns the same result for a repeated `ctx.request_id`."""
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None
    function: Callable[..., Awaitable[Any]]
    arguments: Arguments
    result: Result | None

    async def invoke(self, arguments: Mapping[str, Any], context: Context) -> ToolReturn:
        """Runs the tool.

        Raises:
            InvalidArguments: before the tool has run.
            ToolError: with a sentence for the model.
            InvalidResult: the returned value does not match the return type.
        """
        keywords = self.arguments.validate(arguments)
        context = replace(context, attached=[])
        if self.arguments.context_parameter is not None:
            keywords[self.arguments.context_parameter] = context
        value = await self.function(**keywords)
        if self.result is None:
            return ToolReturn("", None, tuple(context.attached))
        serialized = self.result.serialize(value)
        loaded = json.loads(serialized)
        structured = {RESULT_KEY: loaded} if self.result.wrapped else loaded
        text = loaded if self.result.is_text else serialized.decode()
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
    """Defines a tool: validates every argument and derives the schemas.

    Raises:
        TypeError: with a sentence that says what to write instead.
    """
    name = validation.name("tool", getattr(function, "__name__", ""))
    label = f"The tool {plugin}.{name}"
    if not inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{label} must be `async def`, because only a coroutine can be cancelled at its timeout. Move "
            "blocking code into `await asyncio.to_thread(…)`."
        )
    if effect not in EFFECTS:
        raise TypeError(f"{label}: effect={effect!r}: expected one of {', '.join(EFFECTS)}.")
    if recognises_repeats and effect != "once":
        raise TypeError(f"{label}: recognises_repeats requires effect='once'.")
    description = inspect.getdoc(function)
    if not description:
        raise TypeError(f"{label} needs a docstring: the model reads it to decide when to call the tool.")
    hints = _type_hints(function, label)
    if "return" not in hints:
        raise TypeError(f"{label} needs a return type. Write `-> None` if it returns nothing.")
    arguments = Arguments(function, hints, label)
    result = None if hints["return"] is type(None) else Result(hints["return"], label)
    return ToolDefinition(
        name=name,
        description=description,
        effect=effect,
        timeout=validation.seconds("timeout", timeout),
        max_in_flight=validation.positive_integer("max_in_flight", max_in_flight),
        recognises_repeats=recognises_repeats,
        input_schema=arguments.schema,
        output_schema=result.schema if result else None,
        function=function,
        arguments=arguments,
        result=result,
    )


def _type_hints(function: Callable[..., Any], label: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{label}: the type {error.name!r} is not defined at run time. Define or import it at "
            "module level, not only under `if TYPE_CHECKING`."
        ) from None
