"""What probes get to see, and why."""

import asyncio
import sqlite3

import pytest
from clawdbot_servicekit import health
from clawdbot_servicekit.application import Dependency
from clawdbot_servicekit.errors import NotReady
from clawdbot_servicekit.health import Health, Readiness
from clawdbot_servicekit.metrics import Metrics
from clawdbot_servicekit.peer_health import absent_peer
from structlog.testing import capture_logs


class Checked:
    """An application with one dependency, and as many more as a test adds."""

    services = ("a.Service",)

    def __init__(self, *outcomes, name="dialogue"):
        self.name = name
        self.outcomes = list(outcomes)
        self.checks = asyncio.Queue()
        self.dependencies = [Dependency("store", self.check)]

    async def check(self):
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        self.checks.put_nowait(outcome)
        if outcome == "hang":
            await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome


@pytest.fixture
def rounds(monkeypatch):
    """Runs so many rounds of checks, without the intervals between them."""
    monkeypatch.setattr(health, "CHECK_INTERVAL", 0.0)
    monkeypatch.setattr(health, "STARTUP_INTERVAL", 0.0)
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.01)

    async def rounds(count, *applications, metrics=None):
        metrics = metrics or Metrics()
        state = Health()
        for each in applications:
            state.register(each.services)
        task = asyncio.create_task(Readiness(state, applications, metrics).run())
        for _ in range(count + 1):  # when the next one starts, the last has ended
            for each in applications:
                await each.checks.get()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return state

    return rounds


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (NotReady("store", "it is locked"), "store: it is locked"),
        (ValueError("a bug"), "ValueError (5 characters)"),
        (OSError(28, "No space left on device", "/srv/ann.db"), "OSError: No space left on device"),
        (sqlite3.OperationalError("disk full"), "OperationalError: disk full"),
        ("hang", "no answer within 0.01 s"),
    ],
)
async def test_any_failed_check_means_not_ready_and_is_logged_once(rounds, outcome, reason):
    with capture_logs() as log:
        state = await rounds(3, Checked(outcome))
    assert not state.is_serving("a.Service")
    assert not state.is_serving("readiness")
    assert state.is_serving("liveness")
    said = [(line["event"], line["application"], line["dependency"], line["reason"]) for line in log]
    assert said == [("not_ready", "dialogue", "store", reason)]


async def test_readiness_needs_every_application_and_a_service_only_its_own(rounds):
    good, bad = Checked(None), Checked(NotReady("store", "gone"), name="plugins")
    bad.services = ("b.Service",)
    state = await rounds(2, good, bad)
    assert state.is_serving("a.Service")
    assert not any(state.is_serving(name) for name in ("b.Service", "readiness", ""))


async def test_a_dependency_that_comes_back_makes_it_ready_again(rounds):
    with capture_logs() as log:
        state = await rounds(3, Checked(None, NotReady("store", "gone"), None))
    assert state.is_serving("readiness")
    assert [line["event"] for line in log] == ["not_ready", "ready_again"]


def ready(metrics, dependency):
    labels = {"application": "dialogue", "dependency": dependency}
    return metrics.registry.get_sample_value("clawdbot_dependency_ready", labels)


async def test_the_metric_names_the_dependency_that_fails(rounds):
    metrics, application = Metrics(), Checked(NotReady("store", "gone"))

    async def answers():
        pass

    application.dependencies.append(Dependency("plugins", answers))
    await rounds(2, application, metrics=metrics)
    assert (ready(metrics, "store"), ready(metrics, "plugins")) == (0, 1)


async def test_an_application_is_ready_without_a_peer_that_is_not_configured(rounds):
    metrics, application = Metrics(), Checked(None)
    application.dependencies.append(absent_peer("plugins", "no hook is asked"))
    with capture_logs() as log:
        state = await rounds(3, application, metrics=metrics)
    assert state.is_serving("readiness")
    assert ready(metrics, "plugins") == 0
    assert [(line["event"], line["dependency"]) for line in log] == [("dependency_absent", "plugins")]
    assert "peers.plugins is not set: no hook is asked" in log[0]["reason"]


async def test_a_hung_check_does_not_delay_what_another_one_notices(rounds, monkeypatch):
    application = Checked(None, NotReady("store", "gone"))
    application.dependencies.append(Dependency("plugins", asyncio.Event().wait))
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 60)
    with capture_logs() as log:
        await rounds(3, application)
    assert [line["dependency"] for line in log] == ["store"]


async def test_a_check_that_ignores_its_cancellation_is_not_started_again_before_it_ends(rounds):
    ends, started = asyncio.Event(), []

    async def stubborn():
        started.append(1)
        while not ends.is_set():
            try:
                await ends.wait()
            except asyncio.CancelledError:
                continue

    application = Checked(None)
    application.dependencies.append(Dependency("disk", stubborn))
    with capture_logs():
        state = await rounds(50, application)
        assert len(started) == 1
        assert not state.is_serving("readiness")
        ends.set()
        await asyncio.sleep(0.01)


async def test_nothing_makes_a_draining_server_ready_again():
    state = Health()
    await state.update({"readiness": True})
    await state.drain()
    await state.update({"readiness": True, "": True, "liveness": True})
    assert not state.is_serving("readiness")
    assert not state.is_serving("")
    assert state.is_serving("liveness")
