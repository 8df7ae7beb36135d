"""The guard of a process counts signals, and not the pieces in which it is told of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clawdbot_servicekit.guard import REPORT

from tests.support.engines import GRPCIO_ONLY

pytestmark = [pytest.mark.integration, GRPCIO_ONLY]
"""It knows no engine."""

GUARDED = """
import os, subprocess, sys, time
guard = "import sys; sys.argv = ['guard', '3600']; from clawdbot_servicekit import guard; "
guard += "guard.KILL_AFTER = 0.1; print('ready', flush=True); guard.main()"
reader, writer = os.pipe()
process = subprocess.Popen([sys.executable, "-c", guard], stdin=reader, stdout=subprocess.PIPE)
process.stdout.readline()
for piece in sys.argv[1:]:
    os.write(writer, piece.encode())
    time.sleep(1)
"""
FIRST = REPORT.decode() + ":\n"
REST = '  File "x.py", line 1 in run\n'


def end_of_process_told_of(*pieces: str) -> int:
    """The exit code of a process with an hour to end, whose guard is told this, piece after piece."""
    return subprocess.run([sys.executable, "-c", GUARDED, *pieces], check=False, timeout=60).returncode


@pytest.mark.parametrize("pieces", [[FIRST, REST], [FIRST + REST, REST], [REST, FIRST, REST, REST]])
def test_a_report_of_one_signal_that_comes_in_pieces_leaves_the_process_its_time(pieces):
    assert end_of_process_told_of(*pieces) == 0


def test_a_second_signal_leaves_it_no_more_than_a_moment():
    assert end_of_process_told_of(FIRST + REST, FIRST + REST, REST, REST, REST, REST) < 0
