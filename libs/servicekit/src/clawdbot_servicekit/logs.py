"""Logs: one line per event on stderr, JSON or for people, redacted whoever wrote it.

structlog and the standard library's loggers end in the same processors: no library can slip a secret past.
Nothing is configured by importing this.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from clawdbot_servicekit.call_record import CallRecord
from clawdbot_servicekit.redaction import Redactor
from clawdbot_servicekit.settings.shared import TelemetrySettings

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

OWN_WORDS: Final = frozenset({"level", "timestamp", "logger", "method", "code"})
"""Fields that this process fills from its own tables: searching them on every line buys nothing."""


CALLS: Final = "clawdbot.calls"
"""The logger that writes one line for each call."""

TOGETHER: Final = 0.02
"""Seconds that the lines of calls that went well wait at most, to be written in one go."""


def configure(telemetry: TelemetrySettings, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Sets up logging for the process. Called once, before anything else logs.

    Args:
        telemetry: level and form.
        redactor: what hides secrets; it should know the configured ones.
        stream: where lines go; stderr when left out.
    """
    stream = sys.stderr if stream is None else stream
    level = LEVELS[telemetry.log_level]
    people = telemetry.log_format == "console" or (telemetry.log_format == "auto" and stream.isatty())
    common: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _stamp,
        structlog.processors.format_exc_info,
        redaction(redactor),
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if people
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Writer(stream, *names),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, *common],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # At debug it says which loop it runs on with every call, and logs a server from the server's own
    # destructor: a record that outlives that crashes the process.
    logging.getLogger("grpc").setLevel(max(level, logging.INFO))
    logging.captureWarnings(capture=True)
    _log_uncaught()


def redaction(redactor: Redactor) -> Processor:
    """The processor that hides secrets in every field of an event, the text of an exception included."""

    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for key, value in event.items():
            if key not in OWN_WORDS and not key.startswith("_"):
                event[key] = redactor.item(key, value)
        return event

    return redact


class CallLog:
    """Writes one line for each finished call; for calls within the process only at level debug.

    Calls that went well wait for each other: lines written in one go take a quarter of the time, which is a
    tenth of what a call costs. Any other call is written at once, after those that ended before it.
    """

    def __init__(self) -> None:
        self._log = structlog.get_logger(CALLS)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[CallRecord, str, Mapping[str, Any]]] = []

    def write(self, record: CallRecord) -> None:
        """One line: method, code, ms, tenant, key, and what was annotated (session, turn, model …)."""
        if not self._log.is_enabled_for(logging.DEBUG if record.in_process else logging.INFO):
            return
        self._waiting.append((record, _now(), structlog.contextvars.get_contextvars()))
        if record.code != "OK":
            self.flush()
        elif len(self._waiting) == 1:
            self._loop.call_later(TOGETHER, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        # Each line bears its own call's ids, not those of the call that happens to run.
        contextvars.Context().run(self._write)

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        with _written_together():
            for record, ended, ids in waiting:
                self._line(record, ended, ids)

    def _line(self, record: CallRecord, ended: str, ids: Mapping[str, Any]) -> None:
        optional = {"reason": record.reason, "tenant": record.tenant, "key": record.key_id}
        facts = {
            **ids,
            **record.fields,
            **{name: value for name, value in optional.items() if value},
            "method": record.method.lstrip("/"),
            "code": record.code,
            "ms": round(record.seconds * 1000, 3),
            "timestamp": ended,
        }
        (self._log.debug if record.in_process else self._log.info)("call", **facts)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """When it happened, unless the event says so itself."""
    event.setdefault("timestamp", _now())
    return event


def _json(event: EventDict, default: Callable[[Any], Any], **_: Any) -> str:
    """One line. Every call writes one, and the standard library takes four times as long."""
    try:
        return orjson.dumps(event, default, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Integers beyond 64 bits and halves of UTF-16 pairs, which orjson refuses: no line may be lost.
        return json.dumps(event, default=default)


class _Writer(structlog.WriteLogger):
    """A logger that knows its name, so that the line can say it, and lets lines wait for each other."""

    def __init__(self, stream: TextIO, name: str = "clawdbot") -> None:
        super().__init__(stream)
        self.name = name

    def msg(self, message: str) -> None:
        """Writes the line now, or with those that it is written together with."""
        held = _held.get()
        if held is None:
            super().msg(message)
        else:
            held.setdefault(self, []).append(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


_held: contextvars.ContextVar[dict[_Writer, list[str]] | None] = contextvars.ContextVar("held", default=None)


@contextmanager
def _written_together() -> Iterator[None]:
    """Inside the block lines wait; at its end they are written in one go."""
    held: dict[_Writer, list[str]] = {}
    token = _held.set(held)
    try:
        yield
    finally:
        _held.reset(token)
        for writer, lines in held.items():
            writer.msg("\n".join(lines))


def _log_uncaught() -> None:
    """Python prints what nobody caught as it is; this sends it through the redaction as well."""

    def main_thread(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        _report(kind, error, trace)

    def other_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            _report(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = main_thread
    threading.excepthook = other_thread


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    structlog.get_logger(__name__).critical("uncaught", exc_info=(kind, error, trace))
