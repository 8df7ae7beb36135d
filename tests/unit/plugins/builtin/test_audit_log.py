"""The audit log as part of the service: what it records, and what never gets into it."""

from __future__ import annotations

import json

import pytest
from clawdbot_plugin_sdk import Context, LifespanContext, Plugin, Subject
from clawdbot_plugins.builtin.audit_log import Verified, plugin, verify
from clawdbot_plugins.builtin.audit_log.files import AuditFiles
from clawdbot_servicekit.errors import StartupError
from structlog.testing import capture_logs

from tests.support.plugin_core import Clock
from tests.support.plugin_service import serving

OBSERVERS = {hook.point: hook.function for hook in plugin.hooks}


def lines(folder):
    return [
        json.loads(line) for path in sorted(folder.glob("audit-*")) for line in path.read_bytes().splitlines()
    ]


async def observe(log, point="turn_done", missed=0, context=None, **named):
    await OBSERVERS[point](Subject(point, **named), Context(state=log, missed=missed, **(context or {})))


@pytest.fixture
async def log(tmp_path):
    async with plugin.open(LifespanContext(folder=tmp_path, clock=Clock())) as log:
        yield log


async def test_a_line_records_who_what_when_and_the_outcome(tmp_path, log):
    await observe(
        log,
        context={"tenant": "Müller & Söhne", "key_id": "front"},
        session_id="s-1",
        turn_id="t-1",
        flow="book_table",
        state="confirm",
        facts={"status": "DONE", "seconds": 1.25, "input_tokens": 10, "error": "", "replayed": False},
    )
    (line,) = lines(tmp_path)
    for key in ("previous", "hash"):
        assert len(line.pop(key)) == 64
    assert line == {
        "n": 1,
        "time": "2027-01-15T08:00:00.000+00:00",
        "event": "turn_done",
        "tenant": "Müller & Söhne",
        "key": "front",
        "session": "s-1",
        "turn": "t-1",
        "flow": "book_table",
        "state": "confirm",
        "status": "DONE",
        "seconds": 1.25,
        "input_tokens": 10,
        "replayed": False,
    }


@pytest.mark.parametrize("point", ["turn_done", "session_ended", "generation_done", "tool_done"])
async def test_each_kind_of_event_is_recorded(tmp_path, log, point):
    await observe(log, point)
    assert lines(tmp_path)[0]["event"] == point


@pytest.mark.parametrize(
    "facts",
    [
        {"prompt": "CANARY"},
        {"status": "two words CANARY"},
        {"seconds": "CANARY"},
        {"replayed": "CANARY"},
        {"outcome": {"deep": "CANARY"}},
        {"error": ["CANARY"]},
        {"target": "CANARY" * 100},
    ],
)
async def test_a_fact_that_is_not_listed_or_malformed_is_left_out(tmp_path, log, facts):
    await observe(log, facts=facts)
    assert "CANARY" not in json.dumps(lines(tmp_path))


async def test_a_name_that_looks_like_a_secret_is_redacted(tmp_path, log):
    await observe(log, session_id="sk-proj-canarycanary1234", flow="ann@example.com", turn_id="two words")
    assert lines(tmp_path)[0]["session"] == "[redacted]"
    assert lines(tmp_path)[0]["flow"] == "[redacted]"
    assert "turn" not in lines(tmp_path)[0]


async def test_dropped_or_unwritten_events_are_counted_in_the_next_line(tmp_path, log, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(AuditFiles, "append", full)
        for _ in range(5):
            await observe(log)
    assert [line["total"] for line in logs] == [1, 2, 4]
    await observe(log, missed=3)
    await observe(log)
    assert [line.get("lost") for line in lines(tmp_path)] == [8, None]


async def test_the_head_is_logged(tmp_path):
    with capture_logs() as logs:
        async with plugin.open(LifespanContext(folder=tmp_path, clock=Clock())) as log:
            await observe(log)
    heads = [(line["n"], line["hash"]) for line in logs if line["event"] == "audit_head"]
    found = verify(tmp_path)
    assert heads == [(0, "0" * 64), (1, found.head.hash)]


async def test_a_log_with_a_malformed_end_keeps_the_service_from_starting(tmp_path):
    (tmp_path / "audit-2026-11-25.jsonl").write_text("{}\n")
    with pytest.raises(StartupError, match="move it away"):
        async with plugin.open(LifespanContext(folder=tmp_path)):
            pass


async def test_the_service_writes_a_line_for_each_call_and_event(tmp_path):
    trial = Plugin("trial", version="1.0.0")

    @trial.tool(effect="once")
    async def take(amount: int) -> int:
        """Take money."""
        return amount

    async with serving(tmp_path, trial, "audit_log") as served:
        await served.client.result("trial.take", "r-1", {"session_id": "s-1", "flow": "pay"}, amount=4711)
        await served.client.result("trial.take", "r-1", amount=4711)
        await served.client.observe(
            "generation_done", {"target": "openai/gpt", "outcome": "OK"}, model="chat"
        )
        await served.host.stop(0)
    folder = tmp_path / "plugins" / "audit_log"
    assert isinstance(verify(folder), Verified)
    recorded = [
        {key: line.get(key) for key in ("event", "tool", "session", "model", "outcome", "replayed")}
        for line in lines(folder)
    ]
    assert sorted(recorded, key=str) == sorted(
        [
            {
                "event": "tool_done",
                "tool": "trial.take",
                "session": "s-1",
                "model": None,
                "outcome": "ok",
                "replayed": False,
            },
            {
                "event": "tool_done",
                "tool": "trial.take",
                "session": None,
                "model": None,
                "outcome": "ok",
                "replayed": True,
            },
            {
                "event": "generation_done",
                "tool": None,
                "session": None,
                "model": "chat",
                "outcome": "OK",
                "replayed": None,
            },
        ],
        key=str,
    )
    assert "4711" not in json.dumps(lines(folder))
