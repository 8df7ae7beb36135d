"""The words of errors are in no line of the log unless the setting asks for them; everything else is."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sqlite3
import sys
import threading

import pytest
import structlog
from clawdbot_servicekit import logs
from clawdbot_servicekit.log_content import Content
from clawdbot_servicekit.redaction import Redactor
from clawdbot_servicekit.settings.shared import TelemetrySettings
from pydantic import BaseModel

from tests.support.logging_state import logging_restored

PHRASE = "my grandmother's quinces"


@pytest.fixture(params=[False, True], ids=["by default", "with content"])
def log(request):
    """Configures logging into memory; returns what is written, and whether content was asked for."""
    stream = io.StringIO()
    with logging_restored():
        telemetry = TelemetrySettings(log_format="json", log_content=request.param)
        logs.configure(telemetry, Redactor(), stream)
        yield stream, request.param


class Strange(Exception):
    def __str__(self) -> str:
        raise ValueError(PHRASE)


class Person(BaseModel):
    age: int


def chained():
    try:
        raise KeyError(PHRASE)
    except KeyError as error:
        raise RuntimeError(f"no {PHRASE}") from error


def in_a_handler():
    try:
        chained()
    except RuntimeError:
        raise ValueError(PHRASE)  # noqa: B904 - the context is what the test is about


def grouped():
    members = [ValueError(PHRASE), ExceptionGroup(PHRASE, [OSError(PHRASE), Strange(PHRASE)])]
    raise ExceptionGroup(PHRASE, members)


def annotated():
    error = ValueError(PHRASE)
    error.add_note(PHRASE)
    raise error


def validated():
    Person(age=PHRASE)


def circular():
    first, second = ValueError(PHRASE), ValueError(PHRASE)
    first.__cause__, second.__cause__ = second, first
    raise first


FAILURES = [chained, in_a_handler, grouped, annotated, validated, circular]


@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize("logger", [structlog.get_logger, logging.getLogger])
def test_the_words_of_an_exception_are_logged_only_if_asked_for(log, fail, logger):
    stream, with_content = log
    try:
        fail()
    except Exception:  # noqa: BLE001 - what was raised does not matter
        logger("ours").exception("failed")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert ("quinces" in stream.getvalue()) == with_content
    assert line["event"] == "failed"
    assert "Traceback (most recent call last):" in line["exception"]
    assert fail.__name__ in line["exception"]


def test_a_traceback_names_every_exception_with_its_length_and_place(log):
    stream, with_content = log
    try:
        in_a_handler()
    except ValueError:
        structlog.get_logger("ours").exception("failed")
    text = json.loads(stream.getvalue())["exception"]
    assert text.index("KeyError") < text.index("RuntimeError") < text.index("ValueError")
    assert "direct cause" in text
    assert "During handling" in text
    if not with_content:
        assert text.splitlines()[-1] == f"ValueError: ({len(PHRASE)} characters)"
        assert text.count("in chained") == 2


def test_the_words_of_the_system_and_of_sqlite_stay(log):
    stream, _ = log
    for fail in (lambda: open("/nowhere/at/all"), lambda: sqlite3.connect(":memory:").execute("SELECT a")):  # noqa: SIM115, PTH123
        try:
            fail()
        except (OSError, sqlite3.Error):
            structlog.get_logger("ours").exception("failed")
    assert "No such file or directory" in stream.getvalue()
    assert "no such column: a" in stream.getvalue()


def test_content_in_a_field_is_its_length(log):
    stream, with_content = log
    structlog.get_logger("ours").warning("refused", quote=Content(PHRASE), status=400)
    line = json.loads(stream.getvalue())
    assert line["quote"] == (PHRASE if with_content else f"({len(PHRASE)} characters)")
    assert line["status"] == 400


def test_uncaught_exceptions_say_no_more(log):
    stream, with_content = log
    error = RuntimeError(PHRASE)
    sys.excepthook(RuntimeError, error, None)

    def fail():
        raise RuntimeError(PHRASE)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert len(stream.getvalue().splitlines()) == 2
    assert ("quinces" in stream.getvalue()) == with_content


async def test_a_task_that_nobody_awaits_says_no_more(log):
    stream, with_content = log

    async def fail():
        raise RuntimeError(PHRASE)

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line["event"].startswith("Task exception was never retrieved")
    assert ("quinces" in stream.getvalue()) == with_content
