"""What workers run on is in memory that they share."""

from __future__ import annotations

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import SharedSettings, load
from clawdbot_servicekit.settings.accepted import AcceptedConfiguration
from clawdbot_servicekit.worker_ipc import WorkerContext

TOKEN = "a-secret-of-more-than-24-characters"


@pytest.fixture
def memory():
    memory = AcceptedConfiguration.create()
    yield memory
    memory.close()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    path = tmp_path / "clawdbot.yaml"
    path.write_text("server: {port: 9000}\nauth: {service_token_file: token}\nstate_dir: here\n")
    return path


def as_worker(path, memory) -> SharedSettings:
    return load(SharedSettings, path, WorkerContext(0, 0, 0, memory.descriptor).to_environ())


def test_a_worker_reads_what_was_accepted_with_its_secrets_and_paths(path, memory):
    memory.write(load(SharedSettings, path, {}).reading)
    path.unlink()
    (path.parent / "token").unlink()
    settings = as_worker(path, memory)
    assert settings.server.port == 9000
    assert settings.auth.service_token.get_secret_value() == TOKEN
    assert settings.state_dir == path.parent / "here"
    with pytest.raises(StartupError, match=rf"{path}:2: auth"), settings.locating_errors():
        raise StartupError("auth.service_token: no")
    with pytest.raises(StartupError, match="cannot read"):
        settings.read_again()


def test_a_worker_of_a_supervisor_that_has_written_nothing_reads_the_file(path, memory):
    assert as_worker(path, memory).server.port == 9000


def test_what_is_accepted_replaces_its_sections_and_no_others(path, memory):
    memory.write(load(SharedSettings, path, {}).reading)
    settings = as_worker(path, memory)
    path.write_text("server: {port: 9001}\ntelemetry: {log_level: error}\n")
    settings.accept(settings.read_again(), ("telemetry", "auth"))
    accepted = as_worker(path, memory)
    assert (accepted.server.port, accepted.telemetry.log_level) == (9000, "error")
    assert accepted.auth.service_token is None
    assert settings.read_again(accepted=True).telemetry.log_level == "error"


@pytest.mark.parametrize("sizes", [(10, 1000, 10, 5000, 5000, 1), (100_000, 1, 100_000)])
def test_a_longer_and_a_shorter_one_replace_each_other(tmp_path, memory, sizes):
    path = tmp_path / "clawdbot.yaml"
    for size in sizes:
        path.write_text(f"state_dir: {'x' * size}")
        memory.write(load(SharedSettings, path, {}).reading)
        assert memory.read().document.values == {"state_dir": "x" * size}


def test_settings_without_workers_are_accepted_without_further_ado(path):
    settings = load(SharedSettings, path, {})
    settings.accept(settings.read_again(), ("server",))
    assert settings.read_again(accepted=True).server.port == 9000
