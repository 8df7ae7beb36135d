"""What probes are told, and why."""

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
        self.asked = asyncio.Queue()

    async def check(self):
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        self.asked.put_nowait(outcome)
        if outcome == "hang":
            await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome


@pytest.fixture
def rounds(monkeypatch):
    """Runs so many rounds of checks, without the pauses between them."""
    monkeypatch.setattr(health, "PERIOD", 0.0)
    monkeypatch.setattr(health, "WHILE_STARTING", 0.0)
    monkeypatch.setattr(health, "PATIENCE", 0.01)

    async def rounds(count, *applications):
        state = Health()
        for each in applications:
            state.know(each.services)
        task = asyncio.create_task(Readiness(state, applications).run())
        for _ in range(count + 1):  # the one after the last has begun when the last has ended
            for each in applications:
                await each.asked.get()
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
async def test_a_check_that_fails_in_whatever_way_is_not_ready_and_said_once(rounds, outcome, reason):
    with capture_logs() as log:
        state = await rounds(3, Checked(outcome))
    assert not state.serving("a.Service")
    assert not state.serving("readiness")
    assert state.serving("liveness")
    assert [(line["event"], line["reason"]) for line in log] == [("not_ready", reason)]


async def test_readiness_wants_every_application_and_a_service_only_its_own(rounds):
    good, bad = Checked(None), Checked(NotReady("store", "gone"))
    bad.services = ("b.Service",)
    state = await rounds(2, good, bad)
    assert state.serving("a.Service")
    assert not any(state.serving(name) for name in ("b.Service", "readiness", ""))


async def test_a_dependency_that_comes_back_makes_it_ready_again(rounds):
    with capture_logs() as log:
        state = await rounds(3, Checked(None, NotReady("store", "gone"), None))
    assert state.serving("readiness")
    assert [line["event"] for line in log] == ["not_ready", "ready_again"]


async def test_nothing_makes_a_draining_server_ready_again():
    state = Health()
    await state.tell({"readiness": True})
    await state.drain()
    await state.tell({"readiness": True, "": True, "liveness": True})
    assert not state.serving("readiness")
    assert not state.serving("")
    assert state.serving("liveness")
