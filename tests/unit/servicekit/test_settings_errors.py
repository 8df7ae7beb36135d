"""Every error in a configuration is one message with its position and a hint."""

import hashlib

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import Secret, Section, SharedSettings, load
from clawdbot_servicekit.settings.suite import DEFAULT_SCOPES
from pydantic import Field

GOOD = "0123456789abcdef01234567"
"""A key of the least length."""
HASH = hashlib.sha256(GOOD.encode()).hexdigest()


class Model(Section):
    max_tokens: int = 1
    api_key: Secret | None = None


class Settings(SharedSettings):
    model: str | Model | None = None
    models: dict[str, Model] = Field(default_factory=dict)
    plugins: list[str | dict[str, dict[str, object]]] = Field(default_factory=list)


@pytest.fixture
def message_for(tmp_path, monkeypatch):
    """The error message for a text, without the folder's name."""
    monkeypatch.chdir(tmp_path)

    def message_for(text, **environ):
        (tmp_path / "clawdbot.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(StartupError) as caught:
            load(Settings, None, environ)
        return str(caught.value)

    return message_for


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model: {}\n\nserver: {prot: 1}",
            "clawdbot.yaml:3: unknown key server.prot; did you mean server.port?",
        ),
        ("sever: {port: 1}", "clawdbot.yaml:1: unknown key sever; did you mean server?"),
        ("port: 9000", "clawdbot.yaml:1: unknown key port; did you mean server.port?"),
        ("zebra: 1", "clawdbot.yaml:1: unknown key zebra."),
        (
            "model:\n  max_tokns: 1",
            "clawdbot.yaml:2: unknown key model.max_tokns; did you mean model.max_tokens?",
        ),
        (
            "models: {a: {api_kei_file: x}}",
            "clawdbot.yaml:1: unknown key models.a.api_kei_file; did you mean models.a.api_key_file?",
        ),
        ("server: {port: many}", "clawdbot.yaml:1: server.port: expected a whole number."),
        (
            "server: {max_deadline: 1s, default_deadline: 1m}",
            (
                "clawdbot.yaml:1: server: default_deadline is 60 s and max_deadline is 1 s; "
                "default_deadline must not be above max_deadline."
            ),
        ),
        ("server: {port: 70000}", "clawdbot.yaml:1: server.port: expected at most 65535."),
        ("server: {workers: 0}", "clawdbot.yaml:1: server.workers: expected at least 1."),
        ("server: {workers: true}", "clawdbot.yaml:1: server.workers: expected a whole number."),
        ("server: {grace: 2h}", "clawdbot.yaml:1: server.grace: expected at most 1h."),
        (
            "server: {max_metadata: 2GiB}",
            "clawdbot.yaml:1: server.max_metadata: expected at most 1073741824.",
        ),
        (
            "server:\n  grace: 3 weeks",
            "clawdbot.yaml:2: server.grace: expected a duration such as 30s, 10m or 2.5 (seconds).",
        ),
        (
            "server: {max_message: big}",
            "clawdbot.yaml:1: server.max_message: expected a size such as 4MiB, 500kB or 1048576 (bytes).",
        ),
        ("server: [1]", "clawdbot.yaml:1: server: expected a section with keys of its own."),
        ("plugins: clock", "clawdbot.yaml:1: plugins: expected a list."),
        ("model: 3", "clawdbot.yaml:1: model: expected text or a section with keys of its own."),
        (
            "telemetry: {log_level: loud}",
            "clawdbot.yaml:1: telemetry.log_level: expected 'debug', 'info', 'warning' or 'error'.",
        ),
        (f"auth:\n  keys:\n    - {{key: {GOOD}}}", "clawdbot.yaml:3: auth.keys[0].id is missing."),
        (
            "auth: {keys: [{id: a}]}",
            "clawdbot.yaml:1: auth.keys[0]: give exactly one of key, key_file and sha256.",
        ),
        (
            "auth: {keys: [{id: a, key: short}]}",
            (
                "clawdbot.yaml:1: auth.keys[0].key: the key is too short to be a secret: use at least "
                "24 characters, for example those that `openssl rand -hex 24` prints."
            ),
        ),
        ("tls: {cert_file: a.pem}", "clawdbot.yaml:1: tls: cert_file and key_file belong together."),
        (
            "peers: {plugins: nowhere}",
            (
                "clawdbot.yaml:1: peers.plugins: expected an address such as 127.0.0.1:8082, "
                "dns:///name:8082 or unix:/path."
            ),
        ),
        ("server: {port: 1}\nserver: {}", "clawdbot.yaml:2: the key server is given twice; keep one."),
        ("- a", "clawdbot.yaml:1: expected lines such as `server: {port: 8080}` at the top level."),
        ("server: &a\n  x: *a", "clawdbot.yaml:1: an alias must not contain itself."),
        ("[a]: b", "clawdbot.yaml:1: a key must be plain text."),
        ("server:\n  <<: 3", "clawdbot.yaml:2: << must name a section, or a list of sections."),
        ("a: 1\nb: !!str 3", "clawdbot.yaml:2:4: The YAML tag tag:yaml.org,2002:str is not supported."),
        (
            "model: {api_key: '${NOT_THERE}'}",
            (
                "clawdbot.yaml:1: the environment variable NOT_THERE is not set; "
                "set it, or write $${ for a literal ${."
            ),
        ),
        (
            "model: {api_key_file: /not/there}",
            "clawdbot.yaml:1: model.api_key_file: cannot read /not/there: No such file or directory.",
        ),
        (
            "model: {api_key_file: a, api_key: b}",
            "clawdbot.yaml:1: model.api_key_file: give api_key or api_key_file, not both.",
        ),
    ],
)
def test_an_error_in_the_file(message_for, text, message):
    assert message_for(text) == message


@pytest.mark.parametrize(
    "host",
    [
        *("", "*", " ", "a b", "::ffff:0.0.0.0", "::ffff:7f00:1", "[::1]", "0", "127.1", "0x7f.1"),
        *("224.0.0.1", "ff02::1", "-a", "a..b", "a/b", "a:80", "256.1.1.1", "a" * 64, "\u00e9"),
    ],
)
def test_a_host_that_no_server_can_listen_on(message_for, host):
    assert message_for(f"server: {{host: '{host}'}}") == (
        "clawdbot.yaml:1: server.host: expected an address such as 127.0.0.1 or ::1, or a name such "
        "as localhost; 0.0.0.0 and :: are all addresses of the machine."
    )


@pytest.mark.parametrize("tenant", ["", "../x", "a/b", "-a", ".", "a b", "a" * 129, "\u00e4", "*"])
def test_a_tenant_that_is_not_a_plain_name(message_for, tenant):
    assert message_for(f"auth: {{keys: [{{id: a, key: {GOOD}, tenant: '{tenant}'}}]}}") == (
        "clawdbot.yaml:1: auth.keys[0].tenant: expected 1 to 128 letters, digits and . : @ _ -, "
        "with a letter or a digit first, such as acme."
    )


@pytest.mark.parametrize("text", ["server: {port: 1", "a: b: c", "server:\n\tport: 1", "x: '\x07'"])
def test_malformed_yaml_has_its_position(message_for, text):
    message = message_for(text)
    assert message.startswith("clawdbot.yaml")
    assert "not valid YAML" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "CLAWDBOT_SERVRE__PORT",
            "1",
            "CLAWDBOT_SERVRE__PORT: unknown key servre; did you mean CLAWDBOT_SERVER__PORT?",
        ),
        (
            "CLAWDBOT_SERVER__PROT",
            "1",
            "CLAWDBOT_SERVER__PROT: unknown key server.prot; did you mean CLAWDBOT_SERVER__PORT?",
        ),
        (
            "CLAWDBOT_SERVER__WORKERS",
            "two",
            "CLAWDBOT_SERVER__WORKERS: server.workers: expected a whole number.",
        ),
        (
            "CLAWDBOT_PLUGINS",
            "clock",
            'CLAWDBOT_PLUGINS: plugins: expected a list as JSON: ["one", "two"].',
        ),
        (
            "CLAWDBOT_PLUGINS",
            "[clock]",
            (
                'CLAWDBOT_PLUGINS: expected JSON after the opening bracket, such as ["one", "two"]; '
                "column 2 is wrong."
            ),
        ),
    ],
)
def test_an_error_in_the_environment(message_for, name, value, message):
    assert message_for("", **{name: value}) == message


def test_variables_of_other_programs_are_ignored(message_for):
    """Only variables that start with CLAWDBOT_ are ours, so the only error is about the file."""
    assert (
        message_for("zebra: 1", SERVER__PORT="x", OPENAI_API_KEY="y") == "clawdbot.yaml:1: unknown key zebra."
    )


def test_all_errors_are_reported_at_once(message_for):
    assert message_for("server: {prot: 1, workers: 0}\nplugins: 3").count("\n") == 2


def test_no_message_contains_a_value(message_for):
    """A secret under the wrong key must not get into the log."""
    text = (
        "server: {port: canary-9, workers: canary-9}\ntelemetry: {log_level: canary-9}\nstate_dri: canary-9"
    )
    assert "canary-9" not in message_for(text)
    assert "canary-9" not in message_for("auth: {keys: [{id: a, sha256: canary-9}], service_tokn: canary-9}")


def test_a_file_that_is_missing_or_not_text(tmp_path):
    with pytest.raises(StartupError, match=r"gone\.yaml: cannot read the configuration: No such file"):
        load(Settings, tmp_path / "gone.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StartupError, match="not UTF-8"):
        load(Settings, tmp_path / "binary.yaml", {})


def test_a_file_that_grows_without_end_is_refused(message_for):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "With aliases expanded there are more than" in message_for("\n".join(lines))


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (f"service_token: {GOOD[1:]}", "auth.service_token: the service token is too short to be a secret"),
        ("service_token: abc", "auth.service_token: the service token is too short to be a secret"),
        ("service_token: ''", "auth.service_token: the service token is too short to be a secret"),
        ("service_token: '${EMPTY}'", "auth.service_token: the service token is too short to be a secret"),
        (f"service_token: '{GOOD} '", "auth.service_token: the service token cannot be sent"),
        ("keys: [{id: a, key: ''}]", "auth.keys[0].key: the key is too short to be a secret"),
        ("keys: [{id: a, key_file: short}]", "auth.keys[0]: the key is too short to be a secret"),
        (f"keys: [{{id: a, key: 'a {GOOD}'}}]", "auth.keys[0].key: the key cannot be sent"),
        (f"keys: [{{id: a, key: ü{GOOD}}}]", "auth.keys[0].key: the key cannot be sent"),
        (
            f"keys: [{{id: a, sha256: {hashlib.sha256(b'').hexdigest()}}}]",
            "auth.keys[0]: the sha256 is that of an empty key.",
        ),
        (
            f"keys: [{{id: a, key: {GOOD}}}, {{id: b, sha256: {HASH.upper()}}}]",
            "auth: the key b is the same as the key a; give each a secret of its own.",
        ),
        (
            f"{{keys: [{{id: a, key: {GOOD}}}], service_token: {GOOD}}}",
            "auth: the key a is the same as the service token; give each a secret of its own.",
        ),
    ],
)
def test_a_secret_that_protects_nothing_is_refused(message_for, tmp_path, auth, message):
    (tmp_path / "short").write_text("abc\n")
    text = f"auth: {auth if auth.startswith('{') else '{' + auth + '}'}"
    found = message_for(text, EMPTY="")
    assert found.startswith(f"clawdbot.yaml:1: {message}")
    assert GOOD[1:] not in found


@pytest.mark.parametrize(
    ("scope", "hint"),
    [
        ("model.admin", "; did you mean models.admin?"),
        ("Dialogue", "; did you mean dialogue?"),
        ("tool", "; did you mean tools?"),
        ("everything", "; available: dialogue, dialogue.admin, "),
        ("plugin_runtime", "; "),
        ("''", "; available: "),
        ("'*'", "; available: "),
    ],
)
def test_an_unknown_scope_is_refused_with_the_nearest_right_one(message_for, scope, hint):
    found = message_for(f"auth: {{keys: [{{id: a, key: {GOOD}, scopes: [tools, {scope}]}}]}}")
    assert found.startswith(f"clawdbot.yaml:1: auth.keys[0].scopes[1]: not a scope{hint}")
    assert not found.endswith("?.")


@pytest.mark.parametrize("scopes", ["models", "''", "", "null", "{models: true}", "true"])
def test_scopes_that_are_no_list_are_refused(message_for, scopes):
    found = message_for(f"auth: {{keys: [{{id: a, key: {GOOD}, scopes: {scopes}}}]}}")
    assert found == "clawdbot.yaml:1: auth.keys[0].scopes: expected a list."


@pytest.mark.parametrize("keys", ["", " null", " ''"])
def test_a_blank_list_of_keys_does_not_open_the_server(message_for, keys):
    assert message_for(f"auth:\n  keys:{keys}\n") == "clawdbot.yaml:2: auth.keys: expected a list."


def test_scopes_left_out_are_the_default_ones_and_an_empty_list_is_none(tmp_path):
    found = []
    for scopes in ("", "scopes: []", "scopes: [tools, tools]"):
        text = f"auth:\n  keys:\n    - id: a\n      key: {GOOD}\n      {scopes}\n"
        (tmp_path / "clawdbot.yaml").write_text(text)
        found.append(load(Settings, tmp_path / "clawdbot.yaml", {}).auth.keys[0].scopes)
    assert found == [DEFAULT_SCOPES, frozenset(), {"tools"}]
