"""The audit log's files: several writers, crashes, full disks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import threading

import pytest
from clawdbot_plugins.builtin.audit_log import Verified, files, verify
from clawdbot_plugins.builtin.audit_log.files import AuditFiles, ChainUnreadable
from structlog.testing import capture_logs

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 43_200


@pytest.fixture
def log(tmp_path):
    log = AuditFiles(tmp_path)
    yield log
    log.close()


def lines(folder):
    return [line for path in sorted(folder.glob("audit-*")) for line in path.read_bytes().splitlines()]


def test_a_new_log_continues_where_the_old_one_ended(tmp_path, log):
    log.append(NOON, {"event": "a"})
    other = AuditFiles(tmp_path)
    assert other.head().number == 1
    assert other.append(NOON, {"event": "b"}).number == 2
    other.close()
    assert log.append(NOON, {"event": "c"}).number == 3
    assert verify(tmp_path).lines == 3


def write_many(folder, count):
    log = AuditFiles(folder)
    for number in range(count):
        log.append(NOON + number, {"event": "e", "by": os.getpid()})
    log.close()


def test_processes_that_write_concurrently_keep_one_chain(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path, 50)) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    found = verify(tmp_path)
    assert isinstance(found, Verified), found
    assert found.lines == 200


def test_a_log_can_be_verified_while_it_is_written(tmp_path):
    writing = threading.Thread(target=write_many, args=(tmp_path, 300))
    writing.start()
    while writing.is_alive():
        assert isinstance(verify(tmp_path), Verified)
    writing.join()
    assert verify(tmp_path).lines == 300


def test_other_users_cannot_read_it(tmp_path, log):
    log.append(NOON, {})
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_a_torn_line_is_removed_and_logged(tmp_path, log):
    log.append(NOON, {"event": "a"})
    (path,) = tmp_path.glob("audit-*")
    with path.open("ab") as file:
        file.write(b'{"n":2,"ev')
    with capture_logs() as logs:
        log.append(NOON, {"event": "b"})
    assert [(line["event"], line["bytes"]) for line in logs] == [("audit_line_torn", 10)]
    assert verify(tmp_path).lines == 2


def test_a_torn_line_of_yesterday_is_removed_too(tmp_path, log):
    log.append(NOON, {"event": "a"})
    (path,) = tmp_path.glob("audit-*")
    with path.open("ab") as file:
        file.write(b'{"n":2')
    with capture_logs():
        log.append(NOON + 86_400, {"event": "b"})
    assert verify(tmp_path).lines == 2


def test_after_a_clock_is_set_back_no_line_goes_into_an_older_file(tmp_path, log):
    log.append(NOON + 86_400, {"event": "a"})
    log.append(NOON, {"event": "b"})
    assert len(list(tmp_path.glob("audit-*"))) == 1
    assert verify(tmp_path).lines == 2


def test_a_partially_written_line_is_removed(tmp_path, log, monkeypatch):
    log.append(NOON, {"event": "a"})
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    with pytest.raises(OSError, match="No space") as caught:
        log.append(NOON, {"event": "b"})
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert log.append(NOON, {"event": "c"}).number == 2
    assert verify(tmp_path).lines == 2


def test_a_log_that_ends_with_another_line_is_not_appended_to(tmp_path, log):
    (tmp_path / "audit-2027-01-15.jsonl").write_text("not ours\n")
    with pytest.raises(ChainUnreadable, match="audit-2027-01-15"):
        log.append(NOON, {"event": "a"})
    assert lines(tmp_path) == [b"not ours"]


def test_an_empty_file_is_skipped(tmp_path, log):
    log.append(NOON, {"event": "a"})
    (tmp_path / "audit-2099-01-01.jsonl").touch()
    assert log.append(NOON, {"event": "b"}).number == 2
    log.sync()
    assert verify(tmp_path).lines == 2
