"""The table through which workers share a backend's slots. Each table here stands for a worker."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest
from clawdbot_model_gateway.stores.file.slot_table import MAX_ROWS, SlotTable
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.process_locks import ProcessLocks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.conditions import until
from tests.support.properties import examples


class Workers:
    """Workers that share slots, each with the requests that wait in it."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self.tables: list[SlotTable] = []
        self._locks: list[ProcessLocks] = []

    def add(self) -> SlotTable:
        locks = ProcessLocks(self._folder / "processes")
        locks.open()
        table = SlotTable(self._folder / "slots" / "backend", locks)
        table.open()
        self._locks.append(locks)
        self.tables.append(table)
        return table

    def close(self) -> None:
        for table in self.tables:
            table.close()
        for locks in self._locks:
            locks.close()


@pytest.fixture
def workers(tmp_path):
    made = Workers(tmp_path)
    yield made
    made.close()


def take_all(table, limit, waiting=0):
    """How many slots a worker gets."""
    count = 0
    while table.take(limit, waiting):
        count += 1
    return count


def test_workers_together_take_no_more_than_the_limit(workers):
    a, b = workers.add(), workers.add()
    assert take_all(a, 3) == 3
    assert not b.take(3, 0)
    a.give_back()
    assert take_all(b, 3) == 1
    assert not a.take(3, 0)


def test_a_worker_alone_gets_everything_although_others_have_some(workers):
    a, b = workers.add(), workers.add()
    assert take_all(b, 1) == 1
    assert take_all(a, 8, waiting=20) == 7


def test_a_free_slot_goes_to_the_worker_that_has_less_than_its_part(workers):
    a, b = workers.add(), workers.add()
    assert take_all(a, 4, waiting=8) == 4
    assert not b.take(4, 10)
    a.give_back()
    assert not a.take(4, 8)
    assert b.take(4, 10)
    a.give_back()
    # Ten requests each, of which two have a slot: a has its half.
    assert not a.take(4, 8)
    assert b.take(4, 9)
    a.give_back()
    assert a.take(4, 8)


def test_a_worker_in_which_nobody_waits_any_more_has_no_claim(workers):
    a, b = workers.add(), workers.add()
    assert take_all(a, 2, waiting=5) == 2
    assert not b.take(2, 5)
    b.stop_waiting()
    a.give_back()
    assert a.take(2, 5)


def test_the_slots_of_a_worker_that_stops_are_free(workers):
    a, b = workers.add(), workers.add()
    assert take_all(a, 2) == 2
    a.close()
    a.close()
    assert take_all(b, 2) == 2


def test_calls_that_end_after_the_table_is_closed_have_nothing_to_give_back(workers):
    a = workers.add()
    assert a.take(2, 3)
    a.close()
    a.give_back()
    a.stop_waiting()
    assert not a.take(2, 3)


def test_an_unusable_folder_stops_the_start(tmp_path):
    (tmp_path / "slots").write_text("")
    locks = ProcessLocks(tmp_path / "processes")
    with pytest.raises(StartupError, match="state_dir"):
        SlotTable(tmp_path / "slots" / "backend", locks).open()


CHILD = """
import sys, time
from pathlib import Path
from clawdbot_model_gateway.stores.file.slot_table import MAX_ROWS, SlotTable
from clawdbot_servicekit.process_locks import ProcessLocks
folder = Path(sys.argv[1])
locks = ProcessLocks(folder / "processes")
locks.open()
table = SlotTable(folder / "slots" / "backend", locks)
table.open()
print(table.take(2, 0), table.take(2, 0), table.take(2, 50), flush=True)
time.sleep(60)
"""


async def test_the_slots_of_a_killed_worker_are_free(workers, tmp_path):
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert (await child.stdout.readline()).split() == [b"True", b"True", b"False"]
        table = workers.add()
        assert not table.take(2, 0)
    finally:
        child.send_signal(signal.SIGKILL)
        await child.communicate()
    await until(lambda: table.take(2, 1))
    assert table.take(2, 1)
    # Its row is used again.
    workers.add()


@settings(
    max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    limit=st.integers(1, 6),
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["arrive", "end", "leave"])), min_size=1, max_size=60
    ),
)
def test_no_slot_is_lost_and_none_given_twice(tmp_path_factory, limit, steps):
    workers = Workers(tmp_path_factory.mktemp("slots"))
    try:
        tables = [workers.add() for _ in range(3)]
        taken, waiting = [0, 0, 0], [0, 0, 0]

        def poll(number):
            while waiting[number] and tables[number].take(limit, waiting[number]):
                taken[number] += 1
                waiting[number] -= 1

        for number, step in steps:
            if step == "arrive" and waiting[number] < 5:
                waiting[number] += 1
            elif step == "end" and taken[number]:
                taken[number] -= 1
                tables[number].give_back()
            elif step == "leave" and waiting[number]:
                waiting[number] -= 1
                if not waiting[number]:
                    tables[number].stop_waiting()
            poll(number)
            assert sum(taken) <= limit
        for _ in range(limit + 1):
            for number in range(3):
                poll(number)
        # Nobody waits beside a free slot.
        assert sum(taken) == limit or not any(waiting)
    finally:
        workers.close()


def test_a_table_that_is_closed_leaves_its_row_to_others(tmp_path):
    """Each reload of a backend that has changed opens its table again, in the same process."""
    locks = ProcessLocks(tmp_path / "processes")
    locks.open()
    first = SlotTable(tmp_path / "slots", locks)
    first.open()
    for _ in range(2 * MAX_ROWS):
        again = SlotTable(tmp_path / "slots", locks)
        again.open()
        again.close()
    assert first.take(1, 0)
    first.close()
    locks.close()
