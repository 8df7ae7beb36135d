"""Hook definitions: a function, the point at which it runs, and what its failure means."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from clawdbot_plugin_sdk import validation

HookKind = Literal["gate", "modify", "observe"]
OnFailure = Literal["closed", "open"]

POINTS: Final = {
    "before_turn": "A turn is about to start.",
    "turn_done": "A turn has ended, successfully or not.",
    "session_ended": "A session has ended.",
    "before_generate": "A model is about to be called.",
    "generation_done": "A generation has ended, successfully or not.",
    "before_tool": "A tool is about to run.",
    "tool_done": "A tool call has ended, successfully or not.",
}
"""The points at which hooks can run. At a before_ point, a hook can still refuse or change what follows; at
the others it has already happened."""

PARAMETERS: Final[Mapping[HookKind, tuple[str, ...]]] = {
    "gate": ("subject", "ctx"),
    "modify": ("payload", "subject", "ctx"),
    "observe": ("subject", "ctx"),
}
"""The positional parameters of a hook function, by kind."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a hook is about. It holds names and numbers, never prompts, replies or arguments."""

    point: str
    session_id: str = ""
    turn_id: str = ""
    flow: str = ""
    state: str = ""
    model: str = ""
    tool: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More facts about the point: tokens, duration, outcome."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a gate returns to refuse. A gate that returns None allows."""

    reason: str
    """UPPER_SNAKE, for programs."""
    message: str
    """One sentence, for the caller."""
    retry_after: float | None = None
    """Seconds after which a retry may succeed; None if waiting does not help."""


@dataclass(frozen=True, slots=True)
class HookDefinition:
    """One function at one point."""

    kind: HookKind
    point: str
    function: Callable[..., Awaitable[Any]]
    priority: int
    """Lower runs first."""
    timeout: float
    """Seconds."""
    on_failure: OnFailure
    """What a failure or a timeout means: closed, as if the hook had refused; open, as if it did not exist."""
    max_in_flight: int


def define(
    kind: HookKind,
    point: str,
    function: Callable[..., Awaitable[Any]],
    *,
    priority: int,
    timeout: str | float,
    on_failure: OnFailure,
    max_in_flight: int,
) -> HookDefinition:
    """Defines a hook, after validating every argument.

    Raises:
        TypeError: with a sentence that says what to write instead.
    """
    if point not in POINTS:
        close = difflib.get_close_matches(str(point), POINTS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(POINTS)}."
        raise TypeError(f"Unknown hook point {point!r}{hint}")
    before = point.startswith("before_")
    if kind == "gate" and not before:
        raise TypeError(f"A gate cannot run at {point!r}: it has already happened by then. Use observe.")
    if kind == "observe" and before:
        raise TypeError(
            f"An observe hook cannot run at {point!r}: nothing has happened yet. Use gate or modify."
        )
    if on_failure not in ("closed", "open"):
        raise TypeError(f"on_failure={on_failure!r}: expected 'closed' or 'open'.")
    _check_function(kind, function)
    return HookDefinition(
        kind=kind,
        point=point,
        function=function,
        priority=validation.integer("priority", priority),
        timeout=validation.seconds("timeout", timeout),
        on_failure=on_failure,
        max_in_flight=validation.positive_integer("max_in_flight", max_in_flight),
    )


def _check_function(kind: HookKind, function: Callable[..., Any]) -> None:
    expected = f"async def {getattr(function, '__name__', 'hook')}({', '.join(PARAMETERS[kind])})"
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"A hook must be a coroutine function: {expected}.")
    try:
        inspect.signature(function).bind(*PARAMETERS[kind])
    except TypeError:
        raise TypeError(f"A {kind} hook takes {len(PARAMETERS[kind])} arguments: {expected}.") from None
