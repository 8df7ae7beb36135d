"""The audit log's observers: each event becomes one line of names, numbers and outcomes.

What goes into a line is listed here. A fact that is not on the list, or does not have the form of a name or
a number, stays out: prompts, replies, arguments and secrets have no way in.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from clawdbot_plugin_sdk import Context, Launch, Plugin, Subject
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.redaction import Redactor

from clawdbot_plugins.builtin.audit_log.files import AuditFiles, ChainUnreadable

NUMBERS: Final = (
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
WORDS: Final = ("status", "outcome", "error", "target", "finish_reason", "cache_status")
"""Facts that are names of things."""
FLAGS: Final = ("replayed", "truncated")
"""Facts that are true or false."""

NAME: Final = re.compile(r"\S{1,200}")
"""What a name looks like that a service gives; whatever does not is left out."""
WORD: Final = re.compile(r"[\w.:/@+-]{1,128}", re.ASCII)
"""What a fact's word looks like; whatever does not is left out."""

plugin = Plugin(
    "audit_log",
    version="1.0.0",
    description="Writes down what happened, for whom and when, in hash-chained files; never what was said.",
)


class AuditLog:
    """The chain of this machine, as this process writes it."""

    def __init__(self, files: AuditFiles, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._redactor = Redactor()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit_log")
        self._lost = 0
        self._log = structlog.get_logger(__name__)

    async def write(self, subject: Subject, context: Context) -> None:
        """One line. What cannot be written is logged, counted, and told by the next line as `lost`."""
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
            # Powers of two: a full disk must not fill the log as well.
            if self._lost & (self._lost - 1) == 0:
                self._log.error("audit_line_lost", reason=str(error), total=self._lost)
        else:
            self._lost = 0

    def note_head(self) -> None:
        """Writes into the service's log where the chain ends, so that a later cut can be proved."""
        head = self._files.head()
        self._log.info("audit_head", n=head.number, hash=head.hash)

    def close(self) -> None:
        """Waits for the line in hand, has all of them reach the disk, and notes the head."""
        self._thread.shutdown()
        self._files.sync()
        self.note_head()

    def _names(self, subject: Subject, context: Context) -> dict[str, str]:
        named = {
            "key": context.key_id,
            "session": subject.session_id,
            "turn": subject.turn_id,
            "flow": subject.flow,
            "state": subject.state,
            "model": subject.model,
            "tool": subject.tool,
        }
        kept = {name: word for name, value in named.items() if (word := self._word(value, NAME))}
        return {"tenant": self._redactor.text(context.tenant), **kept}

    def _facts(self, subject: Subject) -> dict[str, Any]:
        told = subject.facts
        return {
            **{name: word for name in WORDS if (word := self._word(told.get(name), WORD))},
            **{name: told[name] for name in NUMBERS if _is_number(told.get(name))},
            **{name: told[name] for name in FLAGS if isinstance(told.get(name), bool)},
        }

    def _word(self, value: Any, form: re.Pattern[str]) -> str:
        """The value, if it has the form; one that looks like a secret is hidden."""
        if not isinstance(value, str) or not form.fullmatch(value):
            return ""
        return self._redactor.text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@plugin.lifespan
async def life(launch: Launch) -> AsyncIterator[AuditLog]:
    """Keeps the files open, and notes the chain's head at start and stop."""
    try:
        files = AuditFiles(launch.folder)
    except OSError as error:
        raise StartupError(f"The audit log cannot be written to {launch.folder}: {error.strerror}.") from None
    try:
        log = AuditLog(files, launch.clock)
        try:
            log.note_head()
        except ChainUnreadable as error:
            raise StartupError(
                f"{error}. Move the file away, so that a new chain begins, and find out who changed it."
            ) from None
        yield log
        await asyncio.to_thread(log.close)
    finally:
        files.close()


@plugin.observe("turn_done", max_in_flight=1)
async def turn_done(subject: Subject, ctx: Context[AuditLog]) -> None:
    """A line for each turn."""
    await ctx.state.write(subject, ctx)


@plugin.observe("session_ended", max_in_flight=1)
async def session_ended(subject: Subject, ctx: Context[AuditLog]) -> None:
    """A line for each session."""
    await ctx.state.write(subject, ctx)


@plugin.observe("generation_done", max_in_flight=1)
async def generation_done(subject: Subject, ctx: Context[AuditLog]) -> None:
    """A line for each generation."""
    await ctx.state.write(subject, ctx)


@plugin.observe("tool_done", max_in_flight=1)
async def tool_done(subject: Subject, ctx: Context[AuditLog]) -> None:
    """A line for each tool call."""
    await ctx.state.write(subject, ctx)
