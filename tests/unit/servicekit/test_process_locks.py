"""Who lives is known exactly, even of processes that were killed."""

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
owners = ProcessLocks(Path(sys.argv[1]))
owners.open()
print(owners.me, flush=True)
time.sleep(60)
"""


def test_one_that_lives_is_seen_and_one_that_let_go_is_gone(tmp_path):
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


def test_one_that_was_killed_is_gone(tmp_path):
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


def test_the_dead_are_swept_away_and_the_living_left(tmp_path):
    (tmp_path / "0123.alive").write_bytes(b"")
    living = ProcessLocks(tmp_path)
    living.open()
    late = ProcessLocks(tmp_path)
    late.open()
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted([living.me, late.me])
    living.close()
    late.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="state_dir"):
        ProcessLocks(tmp_path / "file" / "owners").open()


def test_those_that_open_at_once_all_live(tmp_path):
    """Each looks for the dead while the others make their files: none must be taken for dead."""
    for _ in range(20):
        everybody = [ProcessLocks(tmp_path) for _ in range(8)]
        threads = [threading.Thread(target=each.open) for each in everybody]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert not any(one.gone(other.me) for one in everybody for other in everybody)
        for each in everybody:
            each.close()
    assert list(tmp_path.iterdir()) == []
