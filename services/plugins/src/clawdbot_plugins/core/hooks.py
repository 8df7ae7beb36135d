"""Runs gate and modify hooks in order, within their limits. Each has a policy for what its failure means."""

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
from clawdbot_plugins.core.exception_fields import exception_fields
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.registry_snapshot import RegisteredHook
from clawdbot_plugins.core.task_runner import TaskLimitReached, TaskRunner, TaskTimedOut

REASON_PATTERN: Final = re.compile(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]")
"""The format of google.rpc.ErrorInfo.reason."""

MAX_RETRY_AFTER: Final = 366 * 86_400.0
"""Seconds."""

PayloadCheck = Callable[[Mapping[str, Any]], None]
"""Raises ValueError if a changed payload is invalid."""


@dataclass(frozen=True, slots=True)
class GateRefusal:
    """A refusal, and the plugin that refused."""

    plugin: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class ModifyResult:
    """The payload after the hooks."""

    payload: Mapping[str, Any]
    modified_by: tuple[str, ...]
    """The plugins that changed it, in order."""


class HookRunner:
    """Runs the hooks that can refuse or change an operation."""

    def __init__(self, registry: Registry, task_runner: TaskRunner) -> None:
        self._registry = registry
        self._task_runner = task_runner
        self._log = structlog.get_logger(__name__)

    async def gate(self, subject: Subject, context: Context) -> GateRefusal | None:
        """Returns the first refusal, in order of priority; None if every hook allows.

        Raises:
            HookFailed: a hook that fails closed failed. That is no refusal: the next attempt may be allowed.
        """
        for hook in self._registry.snapshot.hooks.get(("gate", subject.point), ()):
            try:
                refusal = _check_refusal(await self._run(hook, subject, context))
            except Exception as error:
                self._log_failure(hook, error)
                if hook.fails_closed:
                    raise HookFailed(hook.plugin, hook.point) from error
            else:
                if refusal is not None:
                    return GateRefusal(hook.plugin, refusal)
        return None

    async def modify(
        self,
        subject: Subject,
        payload: Mapping[str, Any],
        context: Context,
        check: PayloadCheck | None = None,
    ) -> ModifyResult:
        """Returns the payload after all modify hooks. The changes of a hook that fails are discarded.

        Args:
            subject: what the hooks are about.
            payload: JSON values. It is not changed itself.
            context: who the hooks run for.
            check: validates each changed payload.

        Raises:
            HookFailed: a hook that fails closed failed.
        """
        modified_by: list[str] = []
        for hook in self._registry.snapshot.hooks.get(("modify", subject.point), ()):
            try:
                changed = await self._run(hook, copy.deepcopy(dict(payload)), subject, context)
                if changed is None:
                    continue
                _check_payload(changed, check)
            except Exception as error:
                self._log_failure(hook, error)
                if hook.fails_closed:
                    raise HookFailed(hook.plugin, hook.point) from error
            else:
                payload = changed
                modified_by.append(hook.plugin)
        return ModifyResult(payload, tuple(modified_by))

    async def _run(self, hook: RegisteredHook, *arguments: Any) -> Any:
        return await self._task_runner.run(
            hook_label(hook),
            lambda: hook.run(*arguments),
            timeout_seconds=hook.timeout,
            limit=hook.max_in_flight,
        )

    def _log_failure(self, hook: RegisteredHook, error: Exception) -> None:
        fields = (
            {"reason": type(error).__name__}
            if isinstance(error, TaskLimitReached | TaskTimedOut)
            else exception_fields(error)
        )
        self._log.warning("hook_failed", hook=hook_label(hook), fails_closed=hook.fails_closed, **fields)


def hook_label(hook: RegisteredHook) -> str:
    """Identifies a hook in logs and for its concurrency limit."""
    return f"{hook.plugin} {hook.kind} {hook.point}"


def _check_refusal(returned: Any) -> Refusal | None:
    if returned is None:
        return None
    if not isinstance(returned, Refusal):
        raise TypeError(f"a gate returned {type(returned).__name__}; it must return a Refusal or None")
    if not REASON_PATTERN.fullmatch(returned.reason):
        raise ValueError("the reason of a refusal must be UPPER_SNAKE")
    if not returned.message:
        raise ValueError("a refusal needs a message")
    retry_after = returned.retry_after
    if retry_after is not None and not 0 <= retry_after <= MAX_RETRY_AFTER:
        raise ValueError("the retry_after of a refusal must be from 0 seconds to a year")
    return returned


def _check_payload(returned: Any, check: PayloadCheck | None) -> None:
    if not isinstance(returned, dict):
        raise TypeError(f"a modify hook returned {type(returned).__name__}; it must return a dict or None")
    to_struct(returned)  # raises ValueError for values that JSON does not have
    if check is not None:
        check(returned)
