"""What the suite writes is for its user alone: with any umask, and in a folder that others can read."""

from __future__ import annotations

import os
import stat

import grpc.aio
import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot_cli.connection import embedded_suite

from tests.support.dialogue_client import talk
from tests.support.logging_state import logging_restored
from tests.support.processes import process

pytestmark = pytest.mark.integration


@pytest.fixture
def umask_zero():
    previous = os.umask(0)
    yield
    os.umask(previous)


@pytest.fixture
def state(tmp_path):
    """An existing folder that everyone can read."""
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def create_for_all(path):
    """What an earlier version left."""
    path.touch()
    path.chmod(0o644)


def permissions(folder):
    """Name → permissions, of everything below the folder."""
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.lstat().st_mode)) for path in folder.rglob("*")
    }


def check_private(folder, *expected):
    """Every folder is 0700 and everything else 0600."""
    found = permissions(folder)
    assert set(expected) <= found.keys(), found
    folders = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir()}
    right = {name: "0o700" if name in folders else "0o600" for name in found}
    assert found == right


async def test_every_file_of_a_suite_is_private(umask_zero, state):
    (state / "dialogue").mkdir(mode=0o700)
    create_for_all(state / "dialogue" / "sessions.db")
    environment = {
        "CLAWDBOT_PLUGINS": '["rate_limiter", "audit_log", "tables"]',
        "CLAWDBOT_SERVER__SOCKET": str(state / "suite.sock"),
    }
    async with process("clawdbot_cli", "up", state=state, environment=environment) as suite:
        suite.log.unlink()  # the test's own file
        async with talk(suite.address, "book_table") as booking:
            await booking.say("a table for 4 tomorrow at 7pm")
            await booking.say("yes")
        async with grpc.aio.insecure_channel(suite.address) as channel:
            models = ModelAdminServiceStub(channel)
            listed = (await models.ListModels(admin.ListModelsRequest(), timeout=10)).models
            chat = next(model for model in listed if model.name == "chat")
            target = admin.Target(target=chat.targets[0].target)
            await models.SwitchModel(admin.SwitchModelRequest(alias="chat", targets=[target]), timeout=10)
        check_private(
            state,
            "dialogue/sessions.db",
            "dialogue/sessions.db-wal",
            "dialogue/sessions.db-shm",
            "suite.sock",
            "plugins/audit_log/lock",
            "model_gateway/switches.json",
        )


async def test_the_log_of_a_suite_in_a_chat_is_private(umask_zero, state, monkeypatch):
    monkeypatch.setenv("CLAWDBOT_STATE_DIR", str(state))
    create_for_all(state / "chat.log")
    with logging_restored():
        async with embedded_suite(None, lambda _: None):
            check_private(state, "chat.log")
