"""`clawdbot flow watch` in a process of its own checks again when a file changes."""

from __future__ import annotations

import signal

import pytest

from tests.support.commands import running_clawdbot

pytestmark = pytest.mark.integration

FLOW = "flow: f\nversion: 1\nstates: {a: {say: Hello., end: true}}\n"


async def test_a_change_is_checked_and_an_interrupt_is_exit_code_0(tmp_path):
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "f.yaml").write_text(FLOW)
    async with running_clawdbot("flow", "watch", "flows", state=tmp_path) as watch:
        await watch.wait_for("1 file: 0 errors")
        # As editors save: another file replaces the first.
        (flows / "new").write_text(FLOW.replace("end: true", "ned: true"))
        (flows / "new").replace(flows / "f.yaml")
        await watch.wait_for("1 file: 1 error")
        (flows / "f.yaml").write_text(FLOW.replace("Hello", "Good day"))
        assert watch.out.count("0 errors") == 1
        await watch.wait_for("0 errors, 0 warnings (0.0")
        assert await watch.stop(signal.SIGINT) == 0
    assert "Traceback" not in watch.err
