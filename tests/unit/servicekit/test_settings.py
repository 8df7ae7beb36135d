"""One YAML file and the environment become one frozen model."""

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import Bytes, ConfigPath, Seconds, Secret, Section, SharedSettings, load
from pydantic import Field, ValidationError


class Model(Section):
    provider: str = "echo"
    max_tokens: int = 512
    temperature: float = 1.0
    api_key: Secret | None = None


class Gateway(SharedSettings):
    default_port = 8082
    model: Model | None = None
    models: dict[str, Model] = Field(default_factory=dict)


class Plugins(SharedSettings):
    default_port = 8083
    plugins: tuple[str | dict[str, dict[str, object]], ...] = ()


class Suite(Gateway, Plugins):
    default_port = 8080


class Values(SharedSettings):
    wait: Seconds = 1.0
    room: Bytes = 1
    place: ConfigPath | None = None


THREE_LINES = """\
model: {provider: openai_compatible, max_tokens: 2048, temperature: 0.7}
server: {host: 0.0.0.0, port: 8080, workers: 4}
plugins: [rate_limiter, audit_log]
"""


@pytest.fixture
def read(tmp_path):
    """Loads a class from a text."""

    def read(text, cls=Suite, **environ):
        path = tmp_path / "clawdbot.yaml"
        path.write_text(text, encoding="utf-8")
        return load(cls, path, environ)

    return read


def test_the_three_line_file_is_read_verbatim(read):
    settings = read(THREE_LINES)
    assert settings.model == Model(provider="openai_compatible", max_tokens=2048, temperature=0.7)
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("0.0.0.0", 8080, 4)
    assert settings.plugins == ("rate_limiter", "audit_log")


def test_a_service_alone_ignores_the_sections_of_the_others(read):
    assert read(THREE_LINES, Plugins).plugins == ("rate_limiter", "audit_log")
    assert read(THREE_LINES, Gateway).model.max_tokens == 2048


def test_a_service_alone_does_not_need_the_secrets_of_the_others(read):
    assert read("model: {api_key: '${OPENAI_API_KEY}'}", Plugins).plugins == ()


def test_without_configuration_there_are_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load(Suite, None, {})
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8080, 1)


def test_every_service_has_a_port_of_its_own(read):
    assert [read("", cls).server.port for cls in (Suite, Gateway, Plugins)] == [8080, 8082, 8083]
    assert [read("", cls).telemetry.metrics_port for cls in (Suite, Gateway, Plugins)] == [9464, 9466, 9467]


def test_a_server_on_any_free_port_serves_its_metrics_on_any_free_port(read):
    assert read("server: {port: 0}").telemetry.metrics_port == 0
    assert read("server: {port: 0}\ntelemetry: {metrics_port: 9999}").telemetry.metrics_port == 9999


def test_settings_made_in_code_read_no_environment(monkeypatch):
    monkeypatch.setenv("CLAWDBOT_SERVER__PORT", "9000")
    assert Suite().server.port == 8080


def test_the_environment_overrides_the_file_and_the_command_line_overrides_both(tmp_path):
    path = tmp_path / "clawdbot.yaml"
    path.write_text("server: {port: 1, workers: 2}")
    assert load(Suite, path, {"CLAWDBOT_SERVER__PORT": "9000"}).server.port == 9000
    settings = load(Suite, path, {"CLAWDBOT_SERVER__PORT": "9000"}, {"server.port": 7000})
    assert (settings.server.port, settings.server.workers) == (7000, 2)


def test_lists_and_objects_come_from_the_environment_as_json(read):
    settings = read(
        "", CLAWDBOT_PLUGINS='["clock", {"tables": {"seats": 3}}]', CLAWDBOT_MODEL='{"max_tokens": 7}'
    )
    assert settings.plugins == ("clock", {"tables": {"seats": 3}})
    assert settings.model.max_tokens == 7


def test_a_variable_adds_to_a_section_of_the_file(read):
    settings = read("model: {provider: scripted}", CLAWDBOT_MODEL__MAX_TOKENS="9")
    assert (settings.model.provider, settings.model.max_tokens) == ("scripted", 9)


def test_null_in_the_environment_switches_off(read):
    assert read("", CLAWDBOT_TELEMETRY__METRICS_PORT="null").telemetry.metrics_port is None


def test_the_file_is_found_by_variable_then_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "clawdbot.yaml").write_text("server: {workers: 2}")
    named = tmp_path / "other.yaml"
    named.write_text("server: {workers: 3}")
    monkeypatch.chdir(tmp_path)
    assert load(Suite, None, {}).server.workers == 2
    assert load(Suite, None, {"CLAWDBOT_CONFIG": str(named)}).server.workers == 3


def test_variables_that_kubernetes_sets_are_not_settings(read):
    links = {
        "CLAWDBOT_DIALOGUE_SERVICE_HOST": "10.0.0.1",
        "CLAWDBOT_DIALOGUE_SERVICE_PORT": "8081",
        "CLAWDBOT_DIALOGUE_SERVICE_PORT_GRPC": "8081",
        "CLAWDBOT_DIALOGUE_PORT": "tcp://10.0.0.1:8081",
        "CLAWDBOT_DIALOGUE_PORT_8081_TCP": "tcp://10.0.0.1:8081",
        "CLAWDBOT_DIALOGUE_PORT_8081_TCP_ADDR": "10.0.0.1",
    }
    assert read("", **links).server.port == 8080


def test_an_empty_section_sets_nothing(read):
    assert read("server:\nauth:\n").server.port == 8080


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1m30s", 90), ("250ms", 0.25), ("2.5", 2.5), ("1h", 3600)],
)
def test_durations_are_read_as_people_write_them(read, text, seconds):
    assert read(f"wait: {text}", Values).wait == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("4MiB", 4 << 20), ("500kB", 500_000), ("1024", 1024), ("1.5 KiB", 1536), ("7B", 7)]
)
def test_sizes_are_read_as_people_write_them(read, text, size):
    assert read(f"room: {text}", Values).room == size


def test_a_relative_path_starts_at_the_file_that_names_it(read, tmp_path):
    assert read("place: flows/a.yaml", Values).place == tmp_path / "flows" / "a.yaml"
    assert read("place: /etc/a.yaml", Values).place.as_posix() == "/etc/a.yaml"


def test_a_secret_comes_from_the_environment_or_from_a_file(read, tmp_path):
    (tmp_path / "key").write_text("from-a-file\n")
    assert (
        read("model: {api_key: '${KEY}'}", KEY="from-the-env").model.api_key.get_secret_value()
        == "from-the-env"
    )
    assert read("model: {api_key_file: key}").model.api_key.get_secret_value() == "from-a-file"
    assert read("model: {api_key: 'literal $${KEY}'}").model.api_key.get_secret_value() == "literal ${KEY}"


def test_a_secret_is_in_no_representation(read):
    settings = read("model: {api_key: canary-8d1f}\nauth: {service_token: canary-8d1f-0123456789ab}")
    assert "canary-8d1f" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Suite().state_dir = "elsewhere"


def test_sections_can_share_keys_and_override_them(read):
    text = """
models:
  one: &one {provider: openai, max_tokens: 7}
  two: &two {provider: echo, temperature: 2.0}
  three: {<<: *one, max_tokens: 9}
  four: {max_tokens: 9, <<: [*one, *two]}
"""
    models = read(text).models
    assert models["three"] == Model(provider="openai", max_tokens=9)
    assert models["four"] == Model(provider="openai", max_tokens=9, temperature=2.0)


@pytest.mark.parametrize("text", ["12:30", "2026-12-01", "0x10", "no"])
def test_what_only_older_yaml_takes_for_another_type_is_text(read, text):
    assert read(f"models: {{a: {{provider: {text}}}}}").models["a"].provider == text


@pytest.mark.parametrize(("text", "value"), [("on", True), ("yes", True), ("off", False), ("true", True)])
def test_a_switch_can_be_on_or_off(read, text, value):
    class Switch(SharedSettings):
        enabled: bool | None = None

    assert read(f"enabled: {text}", Switch).enabled is value


def test_a_key_is_taken_as_it_is_written(read):
    assert list(read("models: {8080: {}, true: {}, on: {}}").models) == ["8080", "true", "on"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%eth0", "localhost", "a-0.svc.local", "my_host"],
)
def test_a_server_listens_on_an_address_or_a_name(read, host):
    assert read(f"server: {{host: '{host}'}}").server.host == host


def test_settings_can_be_read_again(tmp_path):
    path = tmp_path / "clawdbot.yaml"
    path.write_text("server: {port: 9000}")
    settings = load(SharedSettings, path, {"CLAWDBOT_STATE_DIR": "/from/environment"}, {"server.workers": 3})
    seen = []
    settings.on_read(seen.append)
    path.write_text("server: {port: 9001}")
    again = settings.model_copy().read_again()
    assert (settings.server.port, again.server.port, again.server.workers) == (9000, 9001, 3)
    assert str(again.state_dir) == "/from/environment"
    assert seen == [again]
    path.write_text("server: {port: x}")
    with pytest.raises(StartupError, match="port"):
        settings.read_again()


def test_settings_that_were_made_in_code_are_read_again_as_they_are():
    settings = SharedSettings(state_dir="/here")
    assert settings.read_again() is settings
