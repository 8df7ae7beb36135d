"""How a figure is made: rounds of ours and of what it is held against, interleaved, and their medians.

Absolute figures on shared machines drift; the ratio of two things measured in one run says more. Where there
are two CPUs or more, the server under test has one and the load has another. Only Linux can bind them.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from clawdbot_dialogue.build_info import core_is_compiled

OUTPUT = Path("build") / "bench"
ROUNDS = 5
"""Rounds of each side; the median is reported."""
CAN_BIND = hasattr(os, "sched_setaffinity")
"""Whether this system can bind a process to a CPU."""
CPUS = sorted(os.sched_getaffinity(0)) if CAN_BIND else list(range(os.cpu_count() or 1))
SERVER_CPU = CPUS[0]
LOAD_CPU = CPUS[-1]


class Skipped(Exception):
    """A figure cannot be measured on this machine; the text says why. The others are."""


def report_skipped(what: str, reason: BaseException) -> None:
    """Says loudly what is missing."""
    print(f"SKIPPED {what}: {reason}", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table and one file under build/bench."""

    name: str
    ours: float
    unit: str
    against: float | None = None
    """The same measure of the floor or the peer; None where the goal is absolute."""
    ratio: float | None = None
    goal: str = ""
    holds: bool | None = None
    """Whether the goal is met; None where there is none yet."""
    conditions: dict[str, object] = field(default_factory=dict)
    report: str = ""
    """What is printed below the table."""

    def write(self) -> None:
        """Writes build/bench/NAME.json."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        path = OUTPUT / f"{self.name}.json"
        fields = asdict(self)
        del fields["report"]
        path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def conditions(**extra: object) -> dict[str, object]:
    """What a reader needs to judge a figure."""
    return {
        "cpus": len(CPUS),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "dialogue_core_compiled": core_is_compiled(),
        "rounds": ROUNDS,
        **extra,
    }


def spawn(*arguments: str, cpu: int = SERVER_CPU, **environment: str) -> subprocess.Popen[str]:
    """Starts `python arguments…` bound to a CPU, its first line of output readable."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    # At once: threads that it makes later are bound as the first one is.
    bind(process.pid, cpu)
    return process


def bind(pid: int, cpu: int) -> None:
    """Binds a process to a CPU, thread by thread: affinity belongs to threads, and one may end meanwhile."""
    if not CAN_BIND:
        return
    for entry in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(entry.name), {cpu})


def placement() -> str:
    """Where the server under test and the load run, in a sentence."""
    if not CAN_BIND:
        return "This system binds no process to a CPU: server, load and mock share all of them."
    if SERVER_CPU == LOAD_CPU:
        return "There is one CPU: server, load and mock share it."
    return f"The server under test has CPU {SERVER_CPU}; load and mock share CPU {LOAD_CPU}."


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, as `ps` says: on Linux in whole seconds, so /proc is asked there."""
    with suppress(FileNotFoundError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    shown = subprocess.check_output(["ps", "-o", "time=", "-p", str(pid)], text=True)
    seconds = 0.0
    for part in shown.strip().split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def stop(process: subprocess.Popen[str]) -> None:
    """Ends a process, kindly first."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def resident_mb(pid: int, *, peak: bool = False) -> float:
    """Resident memory of a process, in MiB: now, or the most that it ever was.

    Raises:
        Skipped: this is not Linux.
    """
    if not Path("/proc/self/status").exists():
        raise Skipped("the memory of a process is read from /proc, which only Linux has")
    entry = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(entry):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no {entry} it has ended")


def allow_open_files(count: int) -> None:
    """Raises the limit of open files, for this process and those that it starts.

    Raises:
        Skipped: the machine allows fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise Skipped(f"{count} open files are needed and `ulimit -Hn` is {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


async def interleave(
    ours: Callable[[], Awaitable[float]], against: Callable[[], Awaitable[float]]
) -> tuple[float, float]:
    """Runs both by turns and returns the median of each. The first round of each is a warm-up."""
    mine, theirs = [], []
    for _ in range(ROUNDS + 1):
        mine.append(await ours())
        theirs.append(await against())
    return statistics.median(mine[1:]), statistics.median(theirs[1:])


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._start
