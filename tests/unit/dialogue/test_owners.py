"""Who lives is known exactly, even of processes that were killed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clawdbot_dialogue.stores.owners import ProcessOwners, SoleOwner
from clawdbot_servicekit.faults import StartupError

PROGRAM = """
import sys, time
from pathlib import Path
from clawdbot_dialogue.stores.owners import ProcessOwners
owners = ProcessOwners(Path(sys.argv[1]))
owners.open()
print(owners.me, flush=True)
time.sleep(60)
"""


def test_one_that_lives_is_seen_and_one_that_let_go_is_gone(tmp_path):
    one, two = ProcessOwners(tmp_path), ProcessOwners(tmp_path)
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
        mine = ProcessOwners(tmp_path)
        mine.open()
        assert not mine.gone(other)
        child.kill()
        child.wait()
        assert mine.gone(other)
    mine.close()


def test_the_dead_are_swept_away_and_the_living_left(tmp_path):
    (tmp_path / "0123.alive").write_bytes(b"")
    living = ProcessOwners(tmp_path)
    living.open()
    late = ProcessOwners(tmp_path)
    late.open()
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted([living.me, late.me])
    living.close()
    late.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="state_dir"):
        ProcessOwners(tmp_path / "file" / "owners").open()


def test_a_store_in_memory_has_one_owner():
    sole = SoleOwner()
    sole.open()
    assert not sole.gone(sole.me)
    assert sole.gone("anybody")
    sole.close()
