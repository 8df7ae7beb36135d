"""`clawdbot version` says what is installed."""

from __future__ import annotations

from clawdbot_cli.main import app
from clawdbot_dialogue.core.machine import step
from typer.testing import CliRunner


def test_the_version_says_whether_the_core_is_compiled():
    output = CliRunner().invoke(app, ["version"]).output
    assert output.startswith("clawdbot ")
    is_source = str(step.__file__).endswith(".py")
    assert ("dialogue core interpreted" in output) is is_source
    assert ("dialogue core compiled" in output) is not is_source
