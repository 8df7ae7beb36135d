"""A plugin: a name, a version, and the tools and hooks that are defined on it with decorators.

It holds definitions and no state: what a running plugin keeps is what its lifespan yields.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel

from clawdbot_plugin_sdk import hooks, tools, validation
from clawdbot_plugin_sdk.context import Launch
from clawdbot_plugin_sdk.hooks import HookDefinition, OnFailure
from clawdbot_plugin_sdk.tools import Effect, ToolDefinition

P = ParamSpec("P")
R = TypeVar("R")
Opened = contextlib.AbstractAsyncContextManager[Any]


class Plugin:
    """What an entry point of the group `clawdbot.plugins` names, itself or a function that returns it."""

    def __init__(
        self, name: str, version: str, description: str = "", *, settings: type[BaseModel] | None = None
    ) -> None:
        """Raises TypeError for a wrong name or version.

        Args:
            name: lower-case letters, digits and underscores; its tools are called "name.tool".
            version: such as "1.2.0".
            description: one sentence for people.
            settings: the pydantic model of the plugin's settings; every field needs a default.
        """
        self.name = validation.name("plugin", name)
        self.version = validation.version(version)
        self.description = description
        if settings is not None:
            _check_settings(name, settings)
        self.settings = settings
        self._tools: dict[str, ToolDefinition] = {}
        self._hooks: list[HookDefinition] = []
        self._lifespan: Callable[[Launch], Opened] | None = None

    @property
    def tools(self) -> Mapping[str, ToolDefinition]:
        """Its tools by their short names."""
        return MappingProxyType(self._tools)

    @property
    def hooks(self) -> tuple[HookDefinition, ...]:
        """Its hooks, as they were defined."""
        return tuple(self._hooks)

    def tool(
        self,
        *,
        effect: Effect = "none",
        timeout: str | float = "10s",
        max_in_flight: int = 32,
        recognises_repeats: bool = False,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Makes an async function a tool. The function stays what it was.

        Args:
            effect: what running it twice would do: "none" (it reads), "repeatable", or "once".
            timeout: the longest that a call may take; then it is cancelled.
            max_in_flight: calls at once in one process; more are refused as busy.
            recognises_repeats: for "once": the tool itself answers a repeated `ctx.request_id` with its first
                answer, so that a call whose process died midway may be run again.
        """

        def define(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            tool = tools.define(
                self.name,
                function,
                effect=effect,
                timeout=timeout,
                max_in_flight=max_in_flight,
                recognises_repeats=recognises_repeats,
            )
            if tool.name in self._tools:
                raise TypeError(f"The plugin {self.name} has two tools called {tool.name}.")
            self._tools[tool.name] = tool
            return function

        return define

    def gate(
        self,
        point: str,
        *,
        priority: int = 100,
        timeout: str | float = "1s",
        on_failure: OnFailure = "closed",
        max_in_flight: int = 1000,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Makes `async def f(subject, ctx) -> Refusal | None` decide whether something may happen.

        Args:
            point: one of POINTS that begins with before_.
            priority: lower runs first; the first refusal ends it.
            timeout: the longest that it may take; then it is cancelled.
            on_failure: what an error or a timeout means: "closed" (no) or "open" (as if it were not there).
            max_in_flight: calls at once in one process; one more is a failure.
        """
        return self._hook(
            functools.partial(
                hooks.define,
                "gate",
                point,
                priority=priority,
                timeout=timeout,
                on_failure=on_failure,
                max_in_flight=max_in_flight,
            )
        )

    def modify(
        self,
        point: str,
        *,
        priority: int = 100,
        timeout: str | float = "1s",
        on_failure: OnFailure = "open",
        max_in_flight: int = 1000,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Makes `async def f(payload, subject, ctx) -> dict | None` change what passes; None leaves it be.

        The payload is the JSON form of the thing; it is the hook's own copy. With "open" a hook that fails is
        skipped, with "closed" its failure is a refusal. The other arguments are as for `gate`.
        """
        return self._hook(
            functools.partial(
                hooks.define,
                "modify",
                point,
                priority=priority,
                timeout=timeout,
                on_failure=on_failure,
                max_in_flight=max_in_flight,
            )
        )

    def observe(
        self, point: str, *, priority: int = 100, timeout: str | float = "5s", max_in_flight: int = 8
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Makes `async def f(subject, ctx) -> None` learn what has happened, after it and never in its way.

        `max_in_flight` is how many events it is told at once, 1 for one after the other.
        """
        return self._hook(
            functools.partial(
                hooks.define,
                "observe",
                point,
                priority=priority,
                timeout=timeout,
                on_failure="open",
                max_in_flight=max_in_flight,
            )
        )

    def lifespan(
        self, function: Callable[[Launch[Any]], AsyncIterator[R]]
    ) -> Callable[[Launch[Any]], AsyncIterator[R]]:
        """Makes an async generator function the plugin's life: what it yields, once, is `ctx.state`.

        What stands before `yield` runs at start, what stands after it at stop, both in one task.
        """
        if not inspect.isasyncgenfunction(function):
            raise TypeError(f"The lifespan of {self.name} must be `async def` with one `yield` in it.")
        if self._lifespan is not None:
            raise TypeError(f"The plugin {self.name} has two lifespans.")
        self._lifespan = contextlib.asynccontextmanager(function)
        return function

    def open(self, launch: Launch) -> Opened:
        """The plugin's life as a context manager that gives its state."""
        return contextlib.nullcontext() if self._lifespan is None else self._lifespan(launch)

    def _hook(
        self, made_of: Callable[[Callable[P, Awaitable[R]]], HookDefinition]
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        def define(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            self._hooks.append(made_of(function))
            return function

        return define


def _check_settings(name: str, settings: Any) -> None:
    if not isinstance(settings, type) or not issubclass(settings, BaseModel):
        raise TypeError(f"The settings of {name} must be a pydantic model class, not {settings!r}.")
    needed = [key for key, field in settings.model_fields.items() if field.is_required()]
    if needed:
        raise TypeError(f"The settings of {name} need defaults for: {', '.join(needed)}.")
