"""Which processes live is exact: it hangs on locks that the system lets go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from clawdbot_plugins.stores.owners import SUFFIX, Owner


def test_an_owner_lives_from_open_to_close(tmp_path):
    owner, other = Owner(tmp_path), Owner(tmp_path)
    assert not owner.lives(owner.id)
    owner.open()
    other.open()
    assert owner.lives(owner.id)
    assert other.lives(owner.id)
    owner.close()
    owner.close()
    assert not other.lives(owner.id)
    other.close()


def test_nobody_of_that_name_does_not_live(tmp_path):
    owner = Owner(tmp_path)
    owner.open()
    assert not owner.lives("0123456789abcdef")
    owner.close()


def test_a_killed_process_does_not_live_and_its_file_is_removed_by_the_next(tmp_path):
    code = (
        "import sys, pathlib, time\nfrom clawdbot_plugins.stores.owners import Owner\n"
        "owner = Owner(pathlib.Path(sys.argv[1])); owner.open(); print(owner.id, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        name = child.stdout.readline().strip()
        owner = Owner(tmp_path)
        owner.open()
        assert owner.lives(name)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not owner.lives(name)
        owner.close()
    assert list(tmp_path.iterdir()) == []


def test_owners_that_open_at_once_all_live(tmp_path):
    """Each looks for the dead while the others make their files: none must be taken for dead."""
    for _ in range(20):
        owners = [Owner(tmp_path) for _ in range(8)]
        threads = [threading.Thread(target=owner.open) for owner in owners]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert all(owner.lives(other.id) for owner in owners for other in owners)
        for owner in owners:
            owner.close()
    assert not list(tmp_path.glob(f"*{SUFFIX}"))
