"""It is known exactly which processes are alive, even after a kill."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.process_locks import ProcessLocks

PROGRAM = """
import sys, time
from pathlib import Path
from clawdbot_servicekit.process_locks import ProcessLocks
lock = ProcessLocks(Path(sys.argv[1]))
lock.open()
print(lock.me, flush=True)
time.sleep(60)
"""


def test_a_live_process_is_not_gone_and_one_that_unlocked_is(tmp_path):
    one, two = ProcessLocks(tmp_path), ProcessLocks(tmp_path)
    one.open()
    two.open()
    assert one.me != two.me
    assert not one.gone(two.me)
    assert not one.gone(one.me)
    two.close()
    two.close()
    assert one.gone(two.me)
    assert one.gone("never was")
    one.close()


def test_a_killed_process_is_gone(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        other = child.stdout.readline().strip()
        mine = ProcessLocks(tmp_path)
        mine.open()
        assert not mine.gone(other)
        child.kill()
        child.wait()
        assert mine.gone(other)
    mine.close()


def test_files_of_dead_processes_are_removed_and_those_of_live_ones_kept(tmp_path):
    (tmp_path / "0123.alive").write_bytes(b"")
    living = ProcessLocks(tmp_path)
    living.open()
    late = ProcessLocks(tmp_path)
    late.open()
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted([living.me, late.me])
    living.close()
    late.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_a_startup_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="state_dir"):
        ProcessLocks(tmp_path / "file" / "lock").open()


def test_processes_that_open_at_the_same_time_are_all_alive(tmp_path):
    """Each looks for dead processes while the others create their files: none must look dead."""
    for _ in range(20):
        locks = [ProcessLocks(tmp_path) for _ in range(8)]
        threads = [threading.Thread(target=each.open) for each in locks]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert not any(one.gone(other.me) for one in locks for other in locks)
        for each in locks:
            each.close()
    assert list(tmp_path.iterdir()) == []
