"""A supervisor that cannot start says why."""

from __future__ import annotations

import tempfile

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.workers import Supervisor

from tests.support.hosts import trial_settings


async def test_a_machine_without_a_folder_for_temporary_files_is_one_sentence(tmp_path, monkeypatch):
    """As a container with a read-only root has none, unless one is mounted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(
        StartupError, match=r"^Workers need a folder for temporary files .*Make /tmp writable"
    ):
        await Supervisor(trial_settings(tmp_path, server={"workers": 2}), []).run()
