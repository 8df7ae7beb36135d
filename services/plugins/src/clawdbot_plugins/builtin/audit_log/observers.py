"""The audit log's observers: each event becomes one line of names, numbers and outcomes.

This module lists what a line may contain. A fact that is not listed, or is not in the format of a name or a
number, is left out, so that prompts, replies, arguments and secrets cannot get in.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from clawdbot_plugin_sdk import Context, LifespanContext, Plugin, Subject
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.redaction import Redactor

from clawdbot_plugins.builtin.audit_log.files import AuditFiles, ChainUnreadable

NUMERIC_FACTS: Final = (
    *(
        "seconds",
        "attempts",
        "tool_calls",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cached_tokens",
    ),
)
"""Facts that are numbers."""
TEXT_FACTS: Final = ("status", "outcome", "error", "target", "finish_reason", "cache_status")
"""Facts that are identifiers or enum values."""
BOOLEAN_FACTS: Final = ("replayed", "truncated")
"""Facts that are true or false."""

NAME_PATTERN: Final = re.compile(r"\S{1,200}")
"""The format of names from services, such as session ids; anything else is left out."""
TEXT_PATTERN: Final = re.compile(r"[\w.:/@+-]{1,128}", re.ASCII)
"""The format of a text fact; anything else is left out."""

plugin = Plugin(
    "audit_log",
    version="1.0.0",
    description="Records what happened, for whom and when, in hash-chained files; never what was said.",
)


class AuditLog:
    """Writes this process's events to the chain that all workers of the machine share."""

    def __init__(self, files: AuditFiles, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._redactor = Redactor()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit_log")
        self._lost = 0
        self._log = structlog.get_logger(__name__)

    async def write(self, subject: Subject, context: Context) -> None:
        """Writes one line. A line that cannot be written is logged and counted as `lost` in the next one."""
        self._lost += context.missed
        now = self._clock()
        facts = {
            "time": dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="milliseconds"),
            "event": subject.point,
            **self._names(subject, context),
            **self._facts(subject),
            **({"lost": self._lost} if self._lost else {}),
        }
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._files.append, now, facts)
        except (OSError, ChainUnreadable) as error:
            self._lost += 1
            # Log at powers of two only: a full disk must not fill the log as well.
            if self._lost & (self._lost - 1) == 0:
                self._log.error("audit_line_lost", reason=str(error), total=self._lost)
        else:
            self._lost = 0

    def log_head(self) -> None:
        """Logs the head of the chain, which proves a later truncation."""
        head = self._files.head()
        self._log.info("audit_head", n=head.number, hash=head.hash)

    def close(self) -> None:
        """Waits for the current line, flushes the file to the disk, and logs the head."""
        self._thread.shutdown()
        self._files.sync()
        self.log_head()

    def _names(self, subject: Subject, context: Context) -> dict[str, str]:
        names = {
            "key": context.key_id,
            "session": subject.session_id,
            "turn": subject.turn_id,
            "flow": subject.flow,
            "state": subject.state,
            "model": subject.model,
            "tool": subject.tool,
        }
        allowed = {
            key: text for key, value in names.items() if (text := self._allowed_text(value, NAME_PATTERN))
        }
        return {"tenant": self._redactor.text(context.tenant), **allowed}

    def _facts(self, subject: Subject) -> dict[str, Any]:
        facts = subject.facts
        return {
            **{
                name: word
                for name in TEXT_FACTS
                if (word := self._allowed_text(facts.get(name), TEXT_PATTERN))
            },
            **{name: facts[name] for name in NUMERIC_FACTS if _is_number(facts.get(name))},
            **{name: facts[name] for name in BOOLEAN_FACTS if isinstance(facts.get(name), bool)},
        }

    def _allowed_text(self, value: Any, pattern: re.Pattern[str]) -> str:
        """Returns the value if it matches, otherwise "". What looks like a secret is redacted."""
        if not isinstance(value, str) or not pattern.fullmatch(value):
            return ""
        return self._redactor.text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@plugin.lifespan
async def lifespan(ctx: LifespanContext) -> AsyncIterator[AuditLog]:
    """Keeps the files open, and logs the chain's head at start and stop."""
    try:
        files = AuditFiles(ctx.folder)
    except OSError as error:
        raise StartupError(f"Cannot write the audit log to {ctx.folder}: {error.strerror}.") from None
    try:
        log = AuditLog(files, ctx.clock)
        try:
            log.log_head()
        except ChainUnreadable as error:
            raise StartupError(
                f"{error}. Find out who changed the file, and move it away to start a new chain."
            ) from None
        yield log
        await asyncio.to_thread(log.close)
    finally:
        files.close()


@plugin.observe("turn_done", max_in_flight=1)
async def turn_done(subject: Subject, ctx: Context[AuditLog]) -> None:
    """Writes a line for each turn."""
    await ctx.state.write(subject, ctx)


@plugin.observe("session_ended", max_in_flight=1)
async def session_ended(subject: Subject, ctx: Context[AuditLog]) -> None:
    """Writes a line for each session."""
    await ctx.state.write(subject, ctx)


@plugin.observe("generation_done", max_in_flight=1)
async def generation_done(subject: Subject, ctx: Context[AuditLog]) -> None:
    """Writes a line for each generation."""
    await ctx.state.write(subject, ctx)


@plugin.observe("tool_done", max_in_flight=1)
async def tool_done(subject: Subject, ctx: Context[AuditLog]) -> None:
    """Writes a line for each tool call."""
    await ctx.state.write(subject, ctx)
