"""Runs gate and modify hooks in order, each within its limits; what a failure means is its policy."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from clawdbot_plugin_sdk import Context, Refusal, Subject
from clawdbot_servicekit.structs import to_struct

from clawdbot_plugins.core.errors import HookFailed
from clawdbot_plugins.core.exception_logging import without_words
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.registry_snapshot import Hook
from clawdbot_plugins.core.task_runner import Bodies, Busy, OutOfTime

REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]")
"""As google.rpc.ErrorInfo wants reasons."""

LONGEST_WAIT: Final = 366 * 86_400.0
"""Seconds of the largest `retry_after`."""

Check = Callable[[Mapping[str, Any]], None]
"""Raises ValueError for a payload that is no longer valid."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A no, and whose."""

    plugin: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Modified:
    """A payload after the hooks."""

    payload: Mapping[str, Any]
    by: tuple[str, ...]
    """The plugins that changed it, in order."""


class Hooks:
    """The hooks that can still change the course of things."""

    def __init__(self, registry: Registry, bodies: Bodies) -> None:
        self._registry = registry
        self._bodies = bodies
        self._log = structlog.get_logger(__name__)

    async def gate(self, subject: Subject, context: Context) -> Refused | None:
        """The first refusal, in order of priority; None where every hook lets pass."""
        for hook in self._registry.snapshot.hooks.get(("gate", subject.point), ()):
            try:
                answer = _checked(await self._run(hook, subject, context))
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises, its policy says what it means
                self._failed(hook, error)
                if hook.closed:
                    message = f"The check by {hook.plugin} failed, so that this was not allowed."
                    return Refused(hook.plugin, Refusal("HOOK_FAILED", message))
            else:
                if answer is not None:
                    return Refused(hook.plugin, answer)
        return None

    async def modify(
        self, subject: Subject, payload: Mapping[str, Any], context: Context, check: Check | None = None
    ) -> Modified:
        """The payload as the hooks leave it. What a failing hook did to it is undone.

        Args:
            subject: whom and what it is about.
            payload: JSON values; not changed itself.
            context: on whose behalf.
            check: says whether a changed payload is still one.

        Raises:
            HookFailed: a hook that is registered to fail closed failed.
        """
        by: list[str] = []
        for hook in self._registry.snapshot.hooks.get(("modify", subject.point), ()):
            try:
                answer = await self._run(hook, copy.deepcopy(dict(payload)), subject, context)
                if answer is None:
                    continue
                _check_payload(answer, check)
            except Exception as error:
                self._failed(hook, error)
                if hook.closed:
                    raise HookFailed(hook.plugin, hook.point) from error
            else:
                payload = answer
                by.append(hook.plugin)
        return Modified(payload, tuple(by))

    async def _run(self, hook: Hook, *arguments: Any) -> Any:
        return await self._bodies.run(
            label(hook), lambda: hook.run(*arguments), seconds=hook.timeout, limit=hook.max_in_flight
        )

    def _failed(self, hook: Hook, error: Exception) -> None:
        if isinstance(error, Busy | OutOfTime):
            self._log.warning(
                "hook_failed", hook=label(hook), reason=type(error).__name__, closed=hook.closed
            )
        else:
            self._log.warning("hook_failed", hook=label(hook), closed=hook.closed, **without_words(error))


def label(hook: Hook) -> str:
    """Names a hook in logs, and for its limit."""
    return f"{hook.plugin} {hook.kind} {hook.point}"


def _checked(answer: Any) -> Refusal | None:
    if answer is None:
        return None
    if not isinstance(answer, Refusal):
        raise TypeError(f"a gate returned {type(answer).__name__}; it returns a Refusal or None")
    if not REASON.fullmatch(answer.reason):
        raise ValueError("a gate's reason must be UPPER_SNAKE")
    if not answer.message:
        raise ValueError("a gate that refuses says why in a sentence")
    wait = answer.retry_after
    if wait is not None and not 0 <= wait <= LONGEST_WAIT:
        raise ValueError("a gate's retry_after must be seconds from 0 to a year")
    return answer


def _check_payload(answer: Any, check: Check | None) -> None:
    if not isinstance(answer, dict):
        raise TypeError(f"a modify hook returned {type(answer).__name__}; it returns a dict or None")
    to_struct(answer)  # raises ValueError for what is not JSON
    if check is not None:
        check(answer)
