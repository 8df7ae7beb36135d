"""One redacted line per event, whichever library writes it."""

import asyncio
import contextvars
import io
import json
import logging
import sys
import threading
import warnings

import grpc.aio
import pytest
import structlog
from clawdbot_servicekit import logs, tracing
from clawdbot_servicekit.call_record import CallRecord
from clawdbot_servicekit.redaction import Redactor
from clawdbot_servicekit.settings.shared import TelemetrySettings

from tests.support.conditions import until
from tests.support.http2_frames import END_HEADERS, HEADERS, PREFACE, SETTINGS, call_headers, frame
from tests.support.logging_state import logging_restored

CANARY = "canary-5f1d9c"
KEY = "sk-proj-canarycanary1234"


@pytest.fixture
def lines():
    """Configures logging into memory and reads the lines back; restores everything afterwards."""
    stream = io.StringIO()

    def configure(**telemetry):
        settings = TelemetrySettings.model_validate({"log_format": "json", **telemetry})
        logs.configure(settings, Redactor([CANARY]), stream)
        return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]

    configure.stream = stream
    with logging_restored():
        yield configure


def test_an_event_is_one_json_line_with_time_level_and_logger(lines):
    read = lines()
    structlog.get_logger("some.module").info("began", count=3, name="Zoë")
    (line,) = read()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "began", "count": 3, "name": "Zoë", "level": "info", "logger": "some.module"}


def test_values_that_json_lacks_do_not_lose_a_line(lines):
    read = lines()
    structlog.get_logger("ours").info("odd", large=2**70, half="\ud800", keys={1: "a"}, other={object})
    (line,) = read()
    assert (line["large"], line["half"], line["keys"]) == (2**70, "\ud800", {"1": "a"})


def test_a_secret_logged_in_any_way_is_redacted(lines):
    """The canary is logged in every way, and is in no line."""
    read = lines()
    log = structlog.get_logger("ours")
    log.info(CANARY, field=CANARY, nested={"a": [KEY], CANARY: 1}, authorization="Basic xyz")
    try:
        raise ValueError(f"could not use {KEY} nor {CANARY}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("theirs").exception("failed with %s", CANARY)
    logging.getLogger("theirs").warning("headers: %s", {"x-api-key": KEY})
    structlog.contextvars.bind_contextvars(user="ann@example.com")
    log.warning("bound")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"careful with {CANARY}", stacklevel=1)
    error = RuntimeError(CANARY)
    sys.excepthook(RuntimeError, error, None)

    def fail():
        raise RuntimeError(CANARY)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    text = lines.stream.getvalue()
    assert len(read()) == 8
    assert "Traceback" in text
    for secret in (CANARY, KEY, "xyz", "ann@example.com"):
        assert secret not in text


def test_the_standard_librarys_loggers_write_the_same_format(lines):
    read = lines()
    logging.getLogger("theirs").warning("took %d ms", 7)
    (line,) = read()
    assert (line["event"], line["level"], line["logger"]) == ("took 7 ms", "warning", "theirs")


def test_the_level_applies_to_both(lines):
    read = lines(log_level="warning")
    structlog.get_logger("ours").info("quiet")
    logging.getLogger("theirs").info("quiet")
    structlog.get_logger("ours").warning("loud")
    logging.getLogger("theirs").error("loud")
    assert [line["event"] for line in read()] == ["loud", "loud"]


def test_grpcs_own_debug_lines_stay_out_at_any_level(lines):
    """It logs an object from that object's own destructor: a record that is kept crashes later."""
    read = lines(log_level="debug")
    logging.getLogger("grpc._cython.cygrpc").debug("loaded running loop")
    logging.getLogger("grpc._cython.cygrpc").error("trouble")
    logging.getLogger("theirs").debug("heard")
    assert [line["event"] for line in read()] == ["trouble", "heard"]


async def test_a_header_that_is_not_ascii_is_not_shown(lines):
    """Grpcio logs it whole, at level error, and it may be a key."""
    read = lines()
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    headers = call_headers(b"/a.B/C", x_api_key=b"canary-key\xff")
    writer.write(PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, headers))
    await until(read)
    writer.close()
    await server.stop(None)
    text = lines.stream.getvalue()
    assert "canary-key" not in text
    (line,) = read()
    assert (line["level"], line["event"]) == ("warning", "A caller sent a header that is not ASCII.")


def test_the_console_format_is_readable(lines):
    lines(log_format="console")
    structlog.get_logger("ours").info("began", count=3)
    text = lines.stream.getvalue()
    assert "began" in text
    assert "count=3" in text
    assert not text.startswith("{")


def test_a_stream_that_is_not_a_terminal_gets_json(lines):
    read = lines(log_format="auto")
    structlog.get_logger("ours").info("began")
    assert read()[0]["event"] == "began"


def record(code="OK", **changed):
    facts = {"reason": "", "seconds": 0.0015, "tenant": "acme", "key_id": "ann", "in_process": False}
    return CallRecord("/a.B/C", code, fields={}, **{**facts, **changed})


def call_with_id(calls):
    tracing.extract([("x-request-id", "r-1")])
    calls.write(record())


async def test_successful_calls_are_written_in_batches(lines, monkeypatch):
    read = lines()
    monkeypatch.setattr(logs, "FLUSH_INTERVAL", 0.001)
    calls = logs.CallLog()
    contextvars.copy_context().run(call_with_id, calls)
    calls.write(record(in_process=True))
    calls.write(record())
    assert read() == []
    first, second = await until(read)
    assert (first["request_id"], first["ms"], first["method"]) == ("r-1", 1.5, "a.B/C")
    assert first["timestamp"] <= second["timestamp"]
    assert "request_id" not in second


async def test_a_failed_call_is_written_at_once_after_those_before_it(lines):
    read = lines()
    calls = logs.CallLog()
    calls.write(record())
    calls.write(record("NOT_FOUND", reason="NO_THING"))
    assert [(line["code"], line.get("reason")) for line in read()] == [
        ("OK", None),
        ("NOT_FOUND", "NO_THING"),
    ]


async def test_in_process_calls_are_logged_at_level_debug(lines):
    read = lines(log_level="debug")
    calls = logs.CallLog()
    calls.write(record(in_process=True))
    calls.flush()
    assert [line["level"] for line in read()] == ["debug"]


async def test_a_line_that_cannot_be_written_is_lost_and_its_call_goes_on(lines):
    read = lines()
    write = lines.stream.write

    def fail(text):
        raise OSError(28, "No space left on device")

    lines.stream.write = fail
    structlog.get_logger("some.module").info("lost")
    calls = logs.CallLog()
    calls.write(record("OK"))
    calls.flush()
    lines.stream.write = write
    structlog.get_logger("some.module").info("written")
    assert [line["event"] for line in read()] == ["written"]
