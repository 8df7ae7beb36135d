"""The lifecycle of a tool call: lookup, validation, gate and modify hooks, the run itself, observers."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from clawdbot_plugin_sdk import (
    Context,
    InvalidArguments,
    Partial,
    Progress,
    Subject,
    ToolError,
    ToolReturn,
    Unavailable,
)
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest, ServiceError
from clawdbot_servicekit.log_content import Content
from clawdbot_servicekit.structs import to_struct

from clawdbot_plugins.core.errors import (
    PluginError,
    ToolBusy,
    ToolLimited,
    ToolRefused,
    ToolTimedOut,
    ToolUnavailable,
)
from clawdbot_plugins.core.exception_fields import exception_fields
from clawdbot_plugins.core.hooks import HookRunner
from clawdbot_plugins.core.idempotency import IdempotentExecutor
from clawdbot_plugins.core.idempotency_store import CallId
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.registry_snapshot import RegisteredTool
from clawdbot_plugins.core.single_flight import Emit, SharedRun, ToolEvent, ToolOutcome
from clawdbot_plugins.core.task_runner import TaskLimitReached, TaskRunner, TaskTimedOut

BEFORE_TOOL: Final = "before_tool"
TOOL_DONE: Final = "tool_done"
MAX_MESSAGE_LENGTH: Final = 2000
"""Characters of the text of a ToolError, and of a progress message."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request to run a tool."""

    tool: str
    """Full name."""
    arguments: Mapping[str, Any]
    context: Context
    """Who the tool runs for; `request_id` is the idempotency key."""


class ToolInvoker:
    """Runs tools."""

    def __init__(
        self,
        registry: Registry,
        hooks: HookRunner,
        observers: Observers,
        executor: IdempotentExecutor,
        task_runner: TaskRunner,
        *,
        max_result: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """An invoker.

        Args:
            registry: knows the tools.
            hooks: run before a tool.
            observers: notified when a call has ended.
            executor: runs tools whose effect is `once`.
            task_runner: runs all plugin code.
            max_result: maximum bytes of one result, and of all partial output of one call.
            clock: seconds, for durations.
        """
        self._registry = registry
        self._hooks = hooks
        self._observers = observers
        self._executor = executor
        self._task_runner = task_runner
        self._max_result = max_result
        self._clock = clock
        self._log = structlog.get_logger(__name__)

    async def invoke(self, call: ToolCall) -> AsyncGenerator[ToolEvent]:
        """Yields the call's events; the ToolOutcome comes last and once. Closing it early cancels the tool.

        Raises:
            PluginNotFound, ToolNotFound: there is no such tool.
            InvalidRequest: the arguments are invalid, each with its path.
            ToolRefused: a gate refused the call.
            ToolBusy, ToolTimedOut: a limit of the tool is reached.
            ToolUnavailable: the tool cannot do its work for now.
            HookFailed: a hook that fails closed failed.
            RequestIdReused, OutcomeUnknown: for tools whose effect is `once`.
        """
        tool = self._registry.snapshot.tool(call.tool)
        annotate(tool=tool.name)
        _raise_violations(tool.input_schema.violations(call.arguments, "arguments"))
        subject = _subject(BEFORE_TOOL, call)
        started = self._clock()
        ended: ToolOutcome | str = "cancelled"
        try:
            arguments = await self._run_before_hooks(tool, subject, call)
            async with aclosing(self._events(tool, call, arguments)) as events:
                async for event in events:
                    if isinstance(event, ToolOutcome):
                        ended = event
                    yield event
        except (PluginError, ServiceError) as error:
            ended = type(error).__name__
            raise
        finally:
            facts = {"seconds": round(self._clock() - started, 6), **_facts(ended)}
            self._observers.notify(replace(subject, point=TOOL_DONE, facts=facts), call.context)

    async def _run_before_hooks(
        self, tool: RegisteredTool, subject: Subject, call: ToolCall
    ) -> Mapping[str, Any]:
        """Runs the gate and modify hooks; returns the arguments as modified."""
        refused = await self._hooks.gate(subject, call.context)
        if refused is not None:
            refusal = refused.refusal
            kind = ToolRefused if refusal.retry_after is None else ToolLimited
            raise kind(refused.plugin, refusal.reason, refusal.message, refusal.retry_after)

        def check(changed: Mapping[str, Any]) -> None:
            if violations := tool.input_schema.violations(changed, "arguments"):
                raise ValueError(
                    f"the changed arguments are invalid: {violations[0].field}: {violations[0].description}"
                )

        modified = await self._hooks.modify(subject, call.arguments, call.context, check)
        return modified.payload

    def _events(
        self, tool: RegisteredTool, call: ToolCall, arguments: Mapping[str, Any]
    ) -> AsyncGenerator[ToolEvent]:
        async def work(emit: Emit) -> ToolOutcome:
            return await self._run(tool, arguments, call.context, emit)

        context = call.context
        if tool.effect == "once" and context.request_id:
            call_id = CallId(context.tenant, tool.name, context.request_id)
            return self._executor.execute(call_id, call.arguments, work, allow_rerun=tool.recognises_repeats)
        return SharedRun(work, tool.name).subscribe()

    async def _run(
        self, tool: RegisteredTool, arguments: Mapping[str, Any], context: Context, emit: Emit
    ) -> ToolOutcome:
        tool_context = replace(context, emit=_limit_partial_output(emit, self._max_result))
        try:
            returned = await self._task_runner.run(
                tool.name,
                lambda: tool.run(arguments, tool_context),
                timeout_seconds=tool.timeout,
                limit=tool.max_in_flight,
            )
            return self._outcome(tool, returned)
        except TaskLimitReached:
            raise ToolBusy(tool.name, tool.max_in_flight) from None
        except TaskTimedOut:
            raise ToolTimedOut(tool.name, tool.timeout) from None
        except InvalidArguments as error:
            _raise_violations(
                [FieldViolation(f"arguments.{path}", message) for path, message in error.problems]
            )
            raise
        except Unavailable as error:
            self._log.warning("tool_unavailable", tool=tool.name, reason=str(error))
            raise ToolUnavailable(tool.name) from None
        except ToolError as error:
            return _error_outcome(_clean_message(str(error)) or f"The tool {tool.name} failed.")
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the model learns that its tool failed
            reference = secrets.token_hex(4)
            self._log.error("tool_failed", tool=tool.name, reference=reference, **exception_fields(error))
            return _error_outcome(f"The tool {tool.name} failed (reference {reference}).")

    def _outcome(self, tool: RegisteredTool, returned: ToolReturn) -> ToolOutcome:
        """Validates the result as untrusted input: in other runtimes it comes from outside the process."""
        structured = returned.structured
        size = len(returned.text.encode()) + (len(json.dumps(structured)) if structured else 0)
        size += sum(len(each.data) for each in returned.attachments)
        if size > self._max_result:
            self._log.warning("tool_result_too_large", tool=tool.name, bytes=size)
            return _error_outcome(
                f"The result of {tool.name} is too large: it has {size} bytes; at most "
                f"{self._max_result} are allowed."
            )
        if structured is not None:
            to_struct(structured)  # raises ValueError for values that no message can carry
        if tool.output_schema is not None and (
            violations := tool.output_schema.violations(structured, "result")
        ):
            self._log.error("tool_result_invalid", tool=tool.name, field=Content(violations[0].field))
            return _error_outcome(f"The tool {tool.name} returned a result that does not match its schema.")
        return ToolOutcome(returned.text, structured, attachments=returned.attachments)


def _limit_partial_output(emit: Emit, limit: int) -> Emit:
    """Passes events on; a ToolError ends the tool once its partial output exceeds the limit in bytes."""
    remaining = limit

    async def limited(event: Progress | Partial) -> None:
        nonlocal remaining
        if isinstance(event, Progress):
            await emit(replace(event, message=_clean_message(event.message)))
        elif event.text:
            remaining -= len(event.text.encode())
            if remaining < 0:
                raise ToolError(f"The partial output is too large: at most {limit} bytes are allowed.")
            await emit(event)

    return limited


def _clean_message(text: str) -> str:
    """Truncates a plugin's text, and replaces lone surrogates, which no message can carry."""
    return text[:MAX_MESSAGE_LENGTH].encode(errors="replace").decode()


def _raise_violations(violations: list[FieldViolation]) -> None:
    if violations:
        raise InvalidRequest(violations)


def _error_outcome(message: str) -> ToolOutcome:
    return ToolOutcome(message, None, is_error=True)


def _subject(point: str, call: ToolCall) -> Subject:
    context = call.context
    return Subject(
        point,
        session_id=context.session_id,
        turn_id=context.turn_id,
        flow=context.flow,
        state=context.flow_state,
        tool=call.tool,
    )


def _facts(ended: ToolOutcome | str) -> dict[str, Any]:
    if isinstance(ended, ToolOutcome):
        return {"outcome": "error" if ended.is_error else "ok", "replayed": ended.replayed}
    return {"outcome": ended}
