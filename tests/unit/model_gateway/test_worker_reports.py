"""The reports that workers write for each other, and the sum of their loads."""

from __future__ import annotations

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_BATCH, PRIORITY_STANDARD, GenerateRequest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import BREAKER_STATE_CLOSED, BREAKER_STATE_OPEN
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.errors import BackendFailed
from clawdbot_model_gateway.core.failures.circuit_breaker import BreakerLimits, CircuitBreaker
from clawdbot_model_gateway.core.machine_load import MachineLoad
from clawdbot_model_gateway.stores.file.drains import FileDrainStore
from clawdbot_model_gateway.stores.file.worker_reports import FileWorkerReports
from clawdbot_servicekit.process_locks import ProcessLocks

from tests.support.scripted_provider import FakeProvider


@pytest.fixture
def worker(tmp_path):
    """Makes the reports of one more worker."""
    opened = []

    def make():
        locks = ProcessLocks(tmp_path / "processes")
        locks.open()
        reports = FileWorkerReports(tmp_path / "reports", locks)
        reports.open()
        opened.append((reports, locks))
        return reports, locks

    yield make
    for reports, locks in opened:
        reports.close()
        locks.close()


def test_each_worker_sees_the_last_report_of_every_other(worker):
    (a, _), (b, _), (c, _) = worker(), worker(), worker()
    a.write(b"a1")
    a.write(b"a2, which is longer")
    a.write(b"a3")
    b.write(b"b1")
    assert sorted(c.others()) == [b"a3", b"b1"]
    assert sorted(a.others()) == [b"", b"b1"]


def test_the_report_of_a_dead_worker_is_gone(worker, tmp_path):
    (a, locks), (b, _) = worker(), worker()
    a.write(b"a")
    locks.close()
    assert list(b.others()) == []
    assert len(list((tmp_path / "reports").iterdir())) == 1


def test_a_worker_takes_its_report_back_when_it_ends(worker):
    (a, _), (b, _) = worker(), worker()
    a.write(b"a")
    a.close()
    a.close()
    a.write(b"late")
    assert list(b.others()) == []


def test_half_a_report_counts_as_none(worker, tmp_path):
    (a, locks), (b, _) = worker(), worker()
    a.write(b"a whole report")
    path = tmp_path / "reports" / f"{locks.me}.report"
    path.write_bytes(path.read_bytes()[:-3])
    assert list(b.others()) == [b""]


def load(reports, drains, **backends):
    return MachineLoad(backends, drains, reports)


@pytest.fixture
def drains(tmp_path):
    store = FileDrainStore(tmp_path)
    store.open()
    yield store
    store.close()


async def test_the_load_is_the_sum_of_all_workers(worker, drains):
    ours, theirs = Backend("a", "fake", FakeProvider()), Backend("a", "fake", FakeProvider())
    ours.traffic.requests, theirs.traffic.requests = 3, 4
    theirs.traffic.errors = 1
    elsewhere = Backend("b", "fake", FakeProvider())
    here = load(worker()[0], drains, a=ours)
    there = load(worker()[0], drains, a=theirs, b=elsewhere)
    there.report()
    state = here.state("a")
    assert (state.requests, state.errors) == (7, 1)
    assert {each.priority for each in state.queues} >= {PRIORITY_BATCH, PRIORITY_STANDARD}
    theirs.traffic.requests = 10
    there.report()
    assert here.state("a").requests == 13


@pytest.mark.parametrize("broken", [0, 1])
async def test_a_breaker_that_is_open_in_one_worker_is_shown(worker, drains, broken):
    limits = BreakerLimits(failures=1)
    workers = [
        Backend("a", "fake", FakeProvider(), breaker=CircuitBreaker("a", limits, lambda: 0.0, lambda: 0.0))
        for _ in range(2)
    ]
    here, there = (load(worker()[0], drains, a=each) for each in workers)
    there.report()
    assert here.state("a").breaker == BREAKER_STATE_CLOSED
    with pytest.raises(BackendFailed):
        async with workers[broken].slot(GenerateRequest()):
            raise BackendFailed("it broke")
    there.report()
    assert here.state("a").breaker == BREAKER_STATE_OPEN


async def test_a_drain_waits_until_every_worker_has_seen_it(worker, drains):
    here = load(worker()[0], drains, a=Backend("a", "fake", FakeProvider()))
    there = load(worker()[0], drains, a=Backend("a", "fake", FakeProvider()))
    there.report()
    drains.apply("a", drained=True)
    assert here._is_busy("a", drains.version), "the other one may have taken a request before"
    there.report()
    assert not here._is_busy("a", drains.version)
    await here.until_idle("a")
