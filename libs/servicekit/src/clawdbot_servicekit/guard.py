"""A second process, which ends this one if it does not end after a signal, whatever holds it.

C code that never releases the lock (a pathological regular expression) stops every Python thread, and with
them signal handlers and watchdog. faulthandler's signal handler needs no lock: it tells the guard of the
signal. The guard runs this file as a script, so that it costs little; workers have their supervisor instead.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import time
from typing import Final

KILL_AFTER: Final = 8.0
"""Seconds beyond settle and grace after which the process is killed, as its watchdog has not ended it."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
REPORT: Final = b"Stack (most recent call first)"
"""How faulthandler begins to tell of a signal. The rest may come later, from a process that was paused."""
DUMP_TIME: Final = 0.25
"""Seconds that the process gets to write its stacks."""


def start(patience: float) -> None:
    """Starts the guard of this process, which lasts as long. Call it once, when the signals have handlers.

    Args:
        patience: seconds that the process has after a signal, without the margin.
    """
    # Imported here: the guard itself runs without the package.
    from clawdbot_servicekit.settings.environment import child_environ

    reader, writer = os.pipe()
    null = (os.POSIX_SPAWN_OPEN, os.devnull, os.O_WRONLY, 0)
    os.posix_spawn(
        sys.executable,
        (sys.executable, "-I", "-S", __file__, str(patience)),
        child_environ(),
        # Not our log: its readers must see its end when we end.
        file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0), *((null[0], each, *null[1:]) for each in (1, 2))],
        # A terminal, or systemd, sends them to both.
        setsigmask=[*SIGNALS, signal.SIGHUP],
    )
    os.close(reader)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    for number in SIGNALS:
        faulthandler.register(number, file=writer, all_threads=False, chain=True)


def main() -> None:
    """Waits for reports of signals on stdin; kills the parent if it does not end in time."""
    parent, patience = os.getppid(), float(sys.argv[1])
    kill_at: float | None = None
    while kill_at is None or time.monotonic() < kill_at:
        timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        if select.select([0], [], [], timeout)[0]:
            told = os.read(0, 65_536)
            if not told or os.getppid() != parent:
                return
            if REPORT in told:
                first, now = kill_at is None, time.monotonic()
                kill_at = now + KILL_AFTER + (patience if first else 0)
    for number, pause in ((signal.SIGUSR1, DUMP_TIME), (signal.SIGKILL, 0)):
        if os.getppid() != parent:
            return
        os.kill(parent, number)
        time.sleep(pause)


if __name__ == "__main__":
    main()
