"""Hooks as an author defines them: a function, the point at which it runs, and what its failure means."""

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
    "before_turn": "A turn is about to be worked on.",
    "turn_done": "A turn has ended, well or not.",
    "session_ended": "A session has ended.",
    "before_generate": "A model is about to be asked.",
    "generation_done": "A generation has ended, well or not.",
    "before_tool": "A tool is about to run.",
    "tool_done": "A tool's call has ended, well or not.",
}
"""Where hooks can run. At a point that begins with before_ something can still be refused or changed; at the
others it has happened."""

PARAMETERS: Final[Mapping[HookKind, tuple[str, ...]]] = {
    "gate": ("subject", "ctx"),
    "modify": ("payload", "subject", "ctx"),
    "observe": ("subject", "ctx"),
}
"""What a hook's function takes, by position."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom and what a hook is about. It names things and never holds prompts, replies or arguments."""

    point: str
    session_id: str = ""
    turn_id: str = ""
    flow: str = ""
    state: str = ""
    model: str = ""
    tool: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further facts of the point: tokens, duration, outcome."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A gate's no. A gate that returns None lets pass."""

    reason: str
    """UPPER_SNAKE, for programs."""
    message: str
    """One sentence, for the person who asked."""
    retry_after: float | None = None
    """Seconds after which asking again may help; None where waiting does not help."""


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
    """What a failure or a timeout means: closed, as if it had said no; open, as if it were not there."""
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
    """Checks everything an author can get wrong.

    Raises:
        TypeError: with a sentence that says what to write instead.
    """
    if point not in POINTS:
        close = difflib.get_close_matches(str(point), POINTS, n=1)
        raise TypeError(f"There is no point {point!r}" + (f"; did you mean {close[0]!r}?" if close else "."))
    before = point.startswith("before_")
    if kind == "gate" and not before:
        raise TypeError(f"A gate cannot stand at {point!r}: it has happened by then. Use observe.")
    if kind == "observe" and before:
        raise TypeError(f"There is nothing to observe at {point!r} yet. Use gate or modify.")
    if on_failure not in ("closed", "open"):
        raise TypeError(f"on_failure={on_failure!r}: expected 'closed' or 'open'.")
    _check_function(kind, function)
    return HookDefinition(
        kind=kind,
        point=point,
        function=function,
        priority=validation.whole("priority", priority),
        timeout=validation.seconds("timeout", timeout),
        on_failure=on_failure,
        max_in_flight=validation.count("max_in_flight", max_in_flight),
    )


def _check_function(kind: HookKind, function: Callable[..., Any]) -> None:
    wanted = f"async def {getattr(function, '__name__', 'hook')}({', '.join(PARAMETERS[kind])})"
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"A hook is a coroutine function: {wanted}.")
    try:
        inspect.signature(function).bind(*PARAMETERS[kind])
    except TypeError:
        raise TypeError(f"A {kind} hook takes {len(PARAMETERS[kind])} arguments: {wanted}.") from None
