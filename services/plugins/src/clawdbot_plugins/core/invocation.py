"""The life of a tool's call: found, checked, let through by the gates, run within its limits, observed."""

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
    ArgumentsDoNotFit,
    Context,
    Partial,
    Progress,
    Subject,
    ToolError,
    ToolReturn,
)
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest, ServiceError
from clawdbot_servicekit.structs import to_struct

from clawdbot_plugins.core.errors import PluginsFailure, ToolBusy, ToolLimited, ToolRefused, ToolTimedOut
from clawdbot_plugins.core.exception_logging import without_words
from clawdbot_plugins.core.hooks import Hooks
from clawdbot_plugins.core.idempotency import OnceOnly
from clawdbot_plugins.core.idempotency_store import CallId
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.registry_snapshot import Tool
from clawdbot_plugins.core.single_flight import Emit, News, Outcome, Run
from clawdbot_plugins.core.task_runner import Bodies, Busy, OutOfTime

BEFORE: Final = "before_tool"
DONE: Final = "tool_done"
LONGEST_SENTENCE: Final = 2000
"""Characters of what a failed tool may tell a model, and of a word about progress."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller asks for."""

    tool: str
    """Full name."""
    arguments: Mapping[str, Any]
    context: Context
    """On whose behalf; `request_id` is the idempotency key."""


class Invoker:
    """Runs tools."""

    def __init__(
        self,
        registry: Registry,
        hooks: Hooks,
        observers: Observers,
        once: OnceOnly,
        bodies: Bodies,
        *,
        max_result: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """An invoker.

        Args:
            registry: says which tools there are.
            hooks: asked before a tool runs.
            observers: told when it has ended.
            once: runs tools whose effect is `once`.
            bodies: runs everybody's code.
            max_result: bytes of one result, and of all partial output of one call.
            clock: seconds, for durations.
        """
        self._registry = registry
        self._hooks = hooks
        self._observers = observers
        self._once = once
        self._bodies = bodies
        self._max_result = max_result
        self._clock = clock
        self._log = structlog.get_logger(__name__)

    async def invoke(self, call: Call) -> AsyncGenerator[News]:
        """What the call tells, the Outcome last and once. Leaving early cancels the tool.

        Raises:
            PluginNotFound, ToolNotFound: there is no such tool.
            InvalidRequest: the arguments do not fit, each with its path.
            ToolRefused: a gate said no.
            ToolBusy, ToolTimedOut: see there.
            RequestIdReused, OutcomeUnknown: of tools whose effect is `once`.
        """
        tool = self._registry.snapshot.tool(call.tool)
        annotate(tool=tool.name)
        _refuse(tool.input.violations(call.arguments, "arguments"))
        subject = _subject(BEFORE, call)
        began = self._clock()
        ended: Outcome | str = "cancelled"
        try:
            arguments = await self._let_through(tool, subject, call)
            async with aclosing(self._follow(tool, call, arguments)) as news:
                async for each in news:
                    if isinstance(each, Outcome):
                        ended = each
                    yield each
        except (PluginsFailure, ServiceError) as error:
            ended = type(error).__name__
            raise
        finally:
            facts = {"seconds": round(self._clock() - began, 6), **_facts(ended)}
            self._observers.tell(replace(subject, point=DONE, facts=facts), call.context)

    async def _let_through(self, tool: Tool, subject: Subject, call: Call) -> Mapping[str, Any]:
        """The arguments after the gates have agreed and the modify hooks have had their way."""
        refused = await self._hooks.gate(subject, call.context)
        if refused is not None:
            no = refused.refusal
            kind = ToolRefused if no.retry_after is None else ToolLimited
            raise kind(refused.plugin, no.reason, no.message, no.retry_after)

        def still_fit(changed: Mapping[str, Any]) -> None:
            if found := tool.input.violations(changed, "arguments"):
                raise ValueError(
                    f"the changed arguments do not fit: {found[0].field}: {found[0].description}"
                )

        modified = await self._hooks.modify(subject, call.arguments, call.context, still_fit)
        return modified.payload

    def _follow(self, tool: Tool, call: Call, arguments: Mapping[str, Any]) -> AsyncGenerator[News]:
        async def work(emit: Emit) -> Outcome:
            return await self._work(tool, arguments, call.context, emit)

        context = call.context
        if tool.effect == "once" and context.request_id:
            call_id = CallId(context.tenant, tool.name, context.request_id)
            return self._once.follow(call_id, call.arguments, work, again=tool.recognises_repeats)
        return Run(work, tool.name).follow()

    async def _work(self, tool: Tool, arguments: Mapping[str, Any], context: Context, emit: Emit) -> Outcome:
        inside = replace(context, emit=_bounded(emit, self._max_result))
        try:
            returned = await self._bodies.run(
                tool.name, lambda: tool.run(arguments, inside), seconds=tool.timeout, limit=tool.max_in_flight
            )
            return self._outcome(tool, returned)
        except Busy:
            raise ToolBusy(tool.name, tool.max_in_flight) from None
        except OutOfTime:
            raise ToolTimedOut(tool.name, tool.timeout) from None
        except ArgumentsDoNotFit as error:
            _refuse([FieldViolation(f"arguments.{path}", what) for path, what in error.problems])
            raise
        except ToolError as error:
            return _failure(_sentence(str(error)) or f"The tool {tool.name} failed.")
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the model is told that its tool failed
            reference = secrets.token_hex(4)
            self._log.error("tool_failed", tool=tool.name, reference=reference, **without_words(error))
            return _failure(f"The tool {tool.name} failed (reference {reference}).")

    def _outcome(self, tool: Tool, returned: ToolReturn) -> Outcome:
        """The result, checked as if a stranger had sent it: for other runtimes that is what happened."""
        structured = returned.structured
        size = len(returned.text.encode()) + (len(json.dumps(structured)) if structured else 0)
        size += sum(len(each.data) for each in returned.attachments)
        if size > self._max_result:
            self._log.warning("tool_result_too_large", tool=tool.name, bytes=size)
            return _failure(f"The result of {tool.name} is too large: {size} bytes of {self._max_result}.")
        if structured is not None:
            to_struct(structured)  # raises ValueError for what no caller could be sent
        if tool.output is not None and (found := tool.output.violations(structured, "result")):
            self._log.error("tool_result_does_not_fit", tool=tool.name, field=found[0].field)
            return _failure(f"The tool {tool.name} returned something else than it promises.")
        return Outcome(returned.text, structured, attachments=returned.attachments)


def _bounded(emit: Emit, limit: int) -> Emit:
    """Lets so many bytes of partial output through; a ToolError ends the tool that emits more."""
    left = limit

    async def bounded(news: Progress | Partial) -> None:
        nonlocal left
        if isinstance(news, Progress):
            await emit(replace(news, message=_sentence(news.message)))
        elif news.text:
            left -= len(news.text.encode())
            if left < 0:
                raise ToolError(f"The partial output is too large: more than {limit} bytes.")
            await emit(news)

    return bounded


def _sentence(text: str) -> str:
    """A plugin's words, cut, and without the halves of characters that no message can carry."""
    return text[:LONGEST_SENTENCE].encode(errors="replace").decode()


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        raise InvalidRequest(violations)


def _failure(sentence: str) -> Outcome:
    return Outcome(sentence, None, is_error=True)


def _subject(point: str, call: Call) -> Subject:
    context = call.context
    return Subject(
        point,
        session_id=context.session_id,
        turn_id=context.turn_id,
        flow=context.flow,
        state=context.flow_state,
        tool=call.tool,
    )


def _facts(ended: Outcome | str) -> dict[str, Any]:
    if isinstance(ended, Outcome):
        return {"outcome": "error" if ended.is_error else "ok", "replayed": ended.replayed}
    return {"outcome": ended}
