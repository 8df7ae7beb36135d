"""What probes get to see, and why."""

import asyncio

import pytest
from clawdbot_servicekit import health
from clawdbot_servicekit.errors import NotReady
from clawdbot_servicekit.health import Health, Readiness
from structlog.testing import capture_logs


class Checked:
    """An application with nothing but a check."""

    name = "dialogue"
    services = ("a.Service",)

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.checks = asyncio.Queue()

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

    async def rounds(count, *applications):
        state = Health()
        for each in applications:
            state.register(each.services)
        task = asyncio.create_task(Readiness(state, applications).run())
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
        (ValueError("a bug"), "ValueError: a bug"),
        ("hang", "no answer within 0.01 s"),
    ],
)
async def test_any_failed_check_means_not_ready_and_is_logged_once(rounds, outcome, reason):
    with capture_logs() as log:
        state = await rounds(3, Checked(outcome))
    assert not state.is_serving("a.Service")
    assert not state.is_serving("readiness")
    assert state.is_serving("liveness")
    assert [(line["event"], line["reason"]) for line in log] == [("not_ready", reason)]


async def test_readiness_needs_every_application_and_a_service_only_its_own(rounds):
    good, bad = Checked(None), Checked(NotReady("store", "gone"))
    bad.services = ("b.Service",)
    state = await rounds(2, good, bad)
    assert state.is_serving("a.Service")
    assert not any(state.is_serving(name) for name in ("b.Service", "readiness", ""))


async def test_a_dependency_that_comes_back_makes_it_ready_again(rounds):
    with capture_logs() as log:
        state = await rounds(3, Checked(None, NotReady("store", "gone"), None))
    assert state.is_serving("readiness")
    assert [line["event"] for line in log] == ["not_ready", "ready_again"]


async def test_nothing_makes_a_draining_server_ready_again():
    state = Health()
    await state.update({"readiness": True})
    await state.drain()
    await state.update({"readiness": True, "": True, "liveness": True})
    assert not state.is_serving("readiness")
    assert not state.is_serving("")
    assert state.is_serving("liveness")
