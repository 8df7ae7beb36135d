"""Logs one redacted line per event on stderr, as JSON or in a readable form.

structlog and the standard library's loggers share the same processors, so no library can leak a secret.
Importing this module configures nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from clawdbot_servicekit import tracing
from clawdbot_servicekit.call_record import CallRecord
from clawdbot_servicekit.log_content import content_processors
from clawdbot_servicekit.redaction import Redactor
from clawdbot_servicekit.settings.shared import TelemetrySettings

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

UNREDACTED_FIELDS: Final = frozenset({"level", "timestamp", "logger", "method", "code"})
"""Fields that this process fills from its own tables; they cannot contain a secret."""

CALL_LOGGER: Final = "clawdbot.calls"
"""The logger that writes one line for each call."""

GRPC_METADATA_LOGGER: Final = "grpc._cython.cygrpc"
"""The logger of grpcio that shows a header with bytes that are not ASCII, whole and with a traceback."""

FLUSH_INTERVAL: Final = 0.02
"""Maximum seconds that the lines of successful calls wait to be written as one batch."""


def configure(telemetry: TelemetrySettings, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Configures logging for the process. Called once, before anything else logs.

    Args:
        telemetry: level and format.
        redactor: should know the configured secrets.
        stream: where lines are written; default: stderr.
    """
    stream = sys.stderr if stream is None else stream
    level = LEVELS[telemetry.log_level]
    console = telemetry.log_format == "console" or (telemetry.log_format == "auto" and stream.isatty())
    common: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_timestamp,
        *content_processors(show=telemetry.log_content),
        redaction_processor(redactor),
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _LineWriter(stream, *names),
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
    # At debug gRPC logs its event loop with every call, and logs a server from the server's own destructor:
    # a record that outlives the server crashes the process.
    logging.getLogger("grpc").setLevel(max(level, logging.INFO))
    logging.getLogger(GRPC_METADATA_LOGGER).addFilter(_without_header)
    logging.captureWarnings(capture=True)
    _log_uncaught()


def redaction_processor(redactor: Redactor) -> Processor:
    """The processor that redacts every field of an event, including the text of an exception."""

    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for key, value in event.items():
            if key not in UNREDACTED_FIELDS and not key.startswith("_"):
                event[key] = redactor.item(key, value)
        return event

    return redact


def _without_header(record: logging.LogRecord) -> bool:
    """A filter that keeps a caller's header out of the log: it may be a key."""
    if isinstance(record.msg, str) and record.msg.startswith("Invalid encoding on"):
        record.msg, record.args, record.exc_info = "A caller sent a header that is not ASCII.", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


class CallLog:
    """Writes one line for each finished call; for in-process calls only at level debug.

    The lines of successful calls are batched: that takes a quarter of the time, which is a tenth of a call's
    cost. Any other call is written at once, after those that ended before it.
    """

    def __init__(self) -> None:
        # Bound now: a logger that is not bound looks for its configuration with each use.
        self._log = structlog.get_logger(CALL_LOGGER).bind()
        self._writer = structlog.get_config()["logger_factory"](CALL_LOGGER)
        self._loop = asyncio.get_running_loop()
        self._batch: list[tuple[CallRecord, float, Mapping[str, Any]]] = []

    def write(self, record: CallRecord) -> None:
        """Logs method, code, ms, tenant, key and the annotations (session, turn, model …)."""
        if not self._log.is_enabled_for(logging.DEBUG if record.in_process else logging.INFO):
            return
        self._batch.append((record, time.time(), tracing.ids()))
        if record.code != "OK":
            self.flush()
        elif len(self._batch) == 1:
            self._loop.call_later(FLUSH_INTERVAL, self.flush)

    def flush(self) -> None:
        """Writes the batch."""
        # In an empty context: each line has its own call's ids, not those of the call that runs now.
        contextvars.Context().run(self._write_batch)

    def _write_batch(self) -> None:
        batch, self._batch = self._batch, []
        # Past structlog's loggers, which take a quarter of the time of a line.
        processors = structlog.get_config()["processors"]
        lines: list[Any] = []
        try:
            for record, ended_at, ids in batch:
                level = "debug" if record.in_process else "info"
                line: Any = _fields(record, ended_at, ids)
                with suppress(structlog.DropEvent):
                    for process in processors:
                        line = process(self._writer, level, line)
                    lines.append(line)
        finally:
            if lines:
                self._writer.msg("\n".join(lines))


def _fields(record: CallRecord, ended_at: float, ids: Mapping[str, Any]) -> EventDict:
    fields: EventDict = {**ids, **record.fields}
    if record.reason:
        fields["reason"] = record.reason
    if record.tenant:
        fields["tenant"] = record.tenant
    if record.key_id:
        fields["key"] = record.key_id
    fields["method"] = record.method.lstrip("/")
    fields["code"] = record.code
    fields["ms"] = round(record.seconds * 1000, 3)
    fields["timestamp"] = _timestamp(ended_at)
    fields["event"] = "call"
    return fields


def _timestamp(at: float) -> str:
    second, micros = divmod(int(at * 1e6), 1_000_000)
    return f"{_date_and_time(second)}.{micros:06d}Z"


@lru_cache(maxsize=8)
def _date_and_time(second: int) -> str:
    """Cached, since a busy server writes many lines in one second."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _add_timestamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Adds the time, unless the event has one."""
    if "timestamp" not in event:
        event["timestamp"] = _timestamp(time.time())
    return event


def _json(event: EventDict, default: Callable[[Any], Any], **_: Any) -> str:
    """One line of JSON. Every call writes one, and the standard library takes four times as long."""
    try:
        return orjson.dumps(event, default, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # orjson refuses integers over 64 bits and lone surrogates, and no line may be lost.
        return json.dumps(event, default=default)


class _LineWriter(structlog.WriteLogger):
    """A logger that knows its name, for the line."""

    def __init__(self, stream: TextIO, name: str = "clawdbot") -> None:
        super().__init__(stream)
        self.name = name

    def msg(self, message: str) -> None:
        """Writes the line. One that cannot be written is lost."""
        # Where the log's disk is full or its reader gone, what the line is about still goes on.
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _log_uncaught() -> None:
    """Redacts uncaught exceptions too, which Python would print as they are."""

    def main_thread(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        _log_exception(kind, error, trace)

    def other_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            _log_exception(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = main_thread
    threading.excepthook = other_thread


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    structlog.get_logger(__name__).critical("uncaught", exc_info=(kind, error, trace))
