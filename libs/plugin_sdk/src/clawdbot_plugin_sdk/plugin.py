"""A plugin: a name, a version, and the tools and hooks that are defined on it with decorators.

It holds definitions and no state: the state of a running plugin is what its lifespan yields.
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
from clawdbot_plugin_sdk.context import LifespanContext
from clawdbot_plugin_sdk.hooks import HookDefinition, OnFailure
from clawdbot_plugin_sdk.tools import Effect, ToolDefinition

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
StateManager = contextlib.AbstractAsyncContextManager[Any]


class Plugin:
    """One plugin. An entry point of the group `clawdbot.plugins` names it, or a function that returns it."""

    def __init__(
        self, name: str, version: str, description: str = "", *, settings: type[BaseModel] | None = None
    ) -> None:
        """Raises TypeError if the name, the version or the settings model is invalid.

        Args:
            name: at most 40 lower-case letters, digits and underscores. Its tools are called "name.tool".
            version: such as "1.2.0".
            description: one sentence for people.
            settings: the pydantic model of the plugin's settings. Every field needs a default.
        """
        self.name = validation.name("plugin", name)
        self.version = validation.version(version)
        self.description = description
        if settings is not None:
            _check_settings(name, settings)
        self.settings = settings
        self._tools: dict[str, ToolDefinition] = {}
        self._hooks: list[HookDefinition] = []
        self._lifespan: Callable[[LifespanContext], StateManager] | None = None
        self._check: Callable[[Any], Awaitable[None]] | None = None

    @property
    def tools(self) -> Mapping[str, ToolDefinition]:
        """The plugin's tools, by short name."""
        return MappingProxyType(self._tools)

    @property
    def hooks(self) -> tuple[HookDefinition, ...]:
        """The plugin's hooks, in the order of definition."""
        return tuple(self._hooks)

    def tool(
        self,
        *,
        effect: Effect = "none",
        timeout: str | float = "10s",
        max_in_flight: int = 32,
        recognises_repeats: bool = False,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Defines an async function as a tool. The function itself is returned unchanged.

        Args:
            effect: what a second run would do: "none" (it only reads), "repeatable" (it changes nothing more)
                or "once" (it must run at most once).
            timeout: maximum duration of a call, which is then cancelled.
            max_in_flight: maximum number of concurrent calls in one process; more fail with TOOL_BUSY.
            recognises_repeats: for "once": the tool returns its first result for a repeated
                `ctx.request_id`, so that an interrupted call can be run again.
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
        """Defines `async def f(subject, ctx) -> Refusal | None` as a gate: it allows or refuses what follows.

        Args:
            point: one of POINTS that starts with before_.
            priority: lower runs first; later gates do not run after a refusal.
            timeout: maximum duration of a call, which is then cancelled.
            on_failure: what an error or a timeout means: "closed" (refuse) or "open" (ignore this hook).
            max_in_flight: maximum number of concurrent calls in one process; one more is a failure.
        """
        return self._hook_decorator(
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
        """Defines `async def f(payload, subject, ctx) -> dict | None` as a modify hook; None changes nothing.

        The payload is the JSON form of the message to change; it is the hook's own copy. With "open", a hook
        that fails is skipped; with "closed", its failure is a refusal. The other arguments are as for `gate`.
        """
        return self._hook_decorator(
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
        """Defines `async def f(subject, ctx) -> None` as an observer: it runs afterwards and delays nothing.

        `max_in_flight` is how many events it handles concurrently; 1 keeps them in order.
        """
        return self._hook_decorator(
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
        self, function: Callable[[LifespanContext[Any]], AsyncIterator[R]]
    ) -> Callable[[LifespanContext[Any]], AsyncIterator[R]]:
        """Defines the plugin's lifespan: what the async generator function yields, once, is `ctx.state`.

        The code before `yield` runs at start, the code after it at stop, both in the same task.
        """
        if not inspect.isasyncgenfunction(function):
            raise TypeError(f"The lifespan of {self.name} must be an `async def` function with one `yield`.")
        if self._lifespan is not None:
            raise TypeError(f"The plugin {self.name} has two lifespans.")
        self._lifespan = contextlib.asynccontextmanager(function)
        return function

    def check(self, function: Callable[[S], Awaitable[None]]) -> Callable[[S], Awaitable[None]]:
        """Defines `async def f(state)`, which raises Unavailable while the plugin's calls cannot succeed.

        It gets what the lifespan yielded. The service runs it about once a second, and is not ready while it
        raises, or does not answer within seconds. It MUST be cheap.
        """
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"The check of {self.name} must be a coroutine function: async def check(state).")
        if self._check is not None:
            raise TypeError(f"The plugin {self.name} has two checks.")
        self._check = function
        return function

    async def run_check(self, state: Any) -> None:
        """Runs the check, if there is one."""
        if self._check is not None:
            await self._check(state)

    def open(self, context: LifespanContext) -> StateManager:
        """Runs the lifespan as a context manager that yields the plugin's state."""
        return contextlib.nullcontext() if self._lifespan is None else self._lifespan(context)

    def _hook_decorator(
        self, definition_of: Callable[[Callable[P, Awaitable[R]]], HookDefinition]
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        def define(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            self._hooks.append(definition_of(function))
            return function

        return define


def _check_settings(name: str, settings: Any) -> None:
    if not isinstance(settings, type) or not issubclass(settings, BaseModel):
        raise TypeError(f"The settings of {name} must be a pydantic model class, not {settings!r}.")
    required = [key for key, field in settings.model_fields.items() if field.is_required()]
    if required:
        raise TypeError(
            f"The settings of {name} need a default for each field; missing: {', '.join(required)}."
        )
