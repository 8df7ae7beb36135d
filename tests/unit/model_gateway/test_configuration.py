"""From a configuration, or none, to backends and aliases; and what is said of a wrong one."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from clawdbot_model_gateway import provider_registry
from clawdbot_model_gateway.backend_config import lineup_of
from clawdbot_model_gateway.core.routing import Target
from clawdbot_model_gateway.provider_registry import installed, make_provider
from clawdbot_model_gateway.settings import BackendSettings, GatewaySettings
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.redaction import secrets_of
from clawdbot_servicekit.settings import load

THREE_LINES = """\
model: {provider: openai_compatible, max_tokens: 2048, temperature: 0.7}
server: {host: 0.0.0.0, port: 8080, workers: 4}
plugins: [rate_limiter, audit_log]
"""
URL = "http://localhost:8000/v1"
KEY = "sk-0123456789abcdef"


@pytest.fixture
def read(tmp_path):
    """Settings from a text and an environment."""

    def read(text, **environ):
        path = tmp_path / "clawdbot.yaml"
        path.write_text(text, encoding="utf-8")
        return load(GatewaySettings, path, environ)

    return read


@pytest.fixture
def lineup(read):
    return lambda text, **environ: lineup_of(read(text, **environ))


def one(target):
    return {"chat": (target,), "default": (target,)}


# The short form


def test_the_three_lines_take_their_endpoint_and_key_from_the_environment(lineup):
    made = lineup(THREE_LINES, OPENAI_BASE_URL=URL, OPENAI_API_KEY=KEY)
    backend = made.backends["openai_compatible"]
    assert (backend.endpoint, backend.api_key.get_secret_value()) == (URL, KEY)
    assert (backend.max_tokens, backend.temperature) == (2048, 0.7)
    assert made.aliases == one(Target("openai_compatible", "*"))


def test_the_model_is_the_one_given_else_the_variables_else_the_first_listed(lineup):
    env = {"OPENAI_API_KEY": KEY, "OPENAI_MODEL": "gpt-env"}
    named = lineup(THREE_LINES, **env)
    assert (named.aliases, named.why) == (one(Target("openai_compatible", "gpt-env")), "OPENAI_MODEL says so")
    assert lineup(THREE_LINES, OPENAI_API_KEY=KEY).why == "the first model that it lists"
    for key in ("name", "model"):
        made = lineup(f"model: {{provider: openai_compatible, {key}: gpt-file}}", **env)
        assert made.aliases == one(Target("openai_compatible", "gpt-file"))
        assert made.why == "as configured"


def test_a_key_from_the_environment_goes_nowhere_but_to_the_environments_endpoint(lineup):
    text = f"model: {{provider: openai_compatible, endpoint: '{URL}'}}"
    backend = lineup(text, OPENAI_API_KEY=KEY, OPENAI_BASE_URL="http://other/v1", OPENAI_MODEL="m").backends
    assert backend["openai_compatible"].api_key is None
    assert backend["openai_compatible"].endpoint == URL
    assert backend["openai_compatible"].name is None


def test_without_endpoint_and_key_the_start_says_what_to_set(lineup):
    with pytest.raises(StartupError, match=r"set OPENAI_API_KEY or OPENAI_BASE_URL, or give model\.endpoint"):
        lineup(THREE_LINES)


def test_a_key_alone_means_openai_and_an_endpoint_alone_needs_no_key(lineup):
    assert lineup(THREE_LINES, OPENAI_API_KEY=KEY).backends["openai_compatible"].endpoint is None
    assert lineup(THREE_LINES, OPENAI_BASE_URL=URL).backends["openai_compatible"].api_key is None


def test_the_configuration_beats_the_variables(read):
    text = f"gateway: {{openai: {{base_url: '{URL}', api_key: '{KEY}'}}}}"
    openai = read(text, OPENAI_BASE_URL="http://other/v1", OPENAI_API_KEY="other").gateway.openai
    assert (openai.base_url, openai.api_key.get_secret_value()) == (URL, KEY)


def test_a_key_in_a_file_beats_the_variable(read, tmp_path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    settings = read("gateway: {openai: {api_key_file: key}}", OPENAI_API_KEY="other")
    assert settings.gateway.openai.api_key.get_secret_value() == KEY


def test_type_and_model_are_provider_and_name(read):
    settings = read("model: {type: echo, model: parrot}")
    assert (settings.model.provider, settings.model.name) == ("echo", "parrot")


def test_secrets_are_known_as_secrets(read):
    text = "models: {backends: {a: {provider: x, api_key: secret-one, headers: {x-key: secret-two}}}}"
    secrets = set(secrets_of(read(text, OPENAI_API_KEY="secret-three")))
    assert {"secret-one", "secret-two", "secret-three"} <= secrets


def test_a_settings_object_made_in_code_knows_no_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert GatewaySettings.model_validate({}).gateway.openai.api_key is None


# The long form

LONG = f"""\
models:
  backends:
    vllm-a:
      provider: openai_compatible
      endpoint: {URL}
      models: [qwen3, {{name: llama, context_length: 8192}}]
    parrot: {{provider: echo}}
  aliases:
    chat: [{{target: vllm-a/qwen3, weight: 9}}, vllm-a/llama, {{target: parrot/echo, fallback: true}}]
    fast: parrot/*
"""


def test_aliases_have_weights_and_fallbacks(lineup):
    aliases = lineup(LONG).aliases
    assert aliases["chat"] == (
        Target("vllm-a", "qwen3", 9),
        Target("vllm-a", "llama"),
        Target("parrot", "echo", fallback=True),
    )
    assert aliases["fast"] == (Target("parrot", "*"),)


def test_the_default_is_the_chat_where_nothing_else_is_said(lineup):
    aliases = lineup(LONG).aliases
    assert aliases["default"] == aliases["chat"]


def test_chat_and_default_are_there_without_a_word(lineup):
    aliases = lineup("models: {backends: {b: {provider: echo}, a: {provider: echo}}}").aliases
    assert aliases == one(Target("b", "*"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("models: {backends: {a: {provider: echo}}, aliases: {chat: b/x}}", "no backend b; there are a."),
        ("models: {backends: {abc: {provider: echo}}, aliases: {chat: abd/x}}", "did you mean abc?"),
        ("models: {backends: {a: {provider: echo}}, aliases: {chat: a}}", "write a/MODEL or a/*"),
        (
            "models: {backends: {a: {provider: x, models: [qwen3]}}, aliases: {chat: a/qwen}}",
            "a has no model qwen; did you mean qwen3?",
        ),
    ],
)
def test_an_alias_that_leads_nowhere_stops_the_start(lineup, text, sentence):
    with pytest.raises(StartupError) as refused:
        lineup(text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "model: {provider: echo}\nmodels: {backends: {a: {provider: echo}}}",
            "give model or models, not both",
        ),
        ("model: {provider: echo, type: echo}", "give provider or type, not both"),
        ("model: {max_tokens: 3}", "model.provider is missing"),
        ("model: {provider: echo, max_tokens: 0}", "model.max_tokens: expected at least 1"),
        ("model: {provider: x, endpoint: 'http://user:password@host/v1'}", "model.endpoint"),
        ("model: {provider: x, endpoint: 'localhost:8000'}", "model.endpoint"),
        ("model: {provider: x, http: {idle_timeot: 3s}}", "did you mean model.http.idle_timeout?"),
        ("models: {backends: {}}", "models.backends"),
        ("models: {backends: {a/b: {provider: echo}}}", "models.backends.a/b"),
        ("models: {backends: {a: {provider: x}}, aliases: {chat: []}}", "the alias chat has no target"),
        ("models: {backends: {a: {provider: x}}, aliases: {chat: [a/x, a/x]}}", "chat has a target twice"),
        ("models: {backends: {a: {provider: x}}, aliases: {chat: [{target: a/x, weight: 0}]}}", "at least 1"),
    ],
)
def test_a_wrong_configuration_is_told_by_its_key_and_never_by_its_value(read, text, sentence):
    with pytest.raises(StartupError) as refused:
        read(text)
    assert sentence in str(refused.value)
    assert "password" not in str(refused.value)


# Providers


def make(**settings):
    return make_provider("model", BackendSettings(**settings), installed())


def test_the_providers_are_those_of_the_entry_points():
    assert {"echo", "scripted", "openai_compatible"} <= set(installed())


def test_two_packages_with_one_name_stop_the_start(monkeypatch):
    points = [EntryPoint("echo", value, provider_registry.GROUP) for value in ("one:A", "two:B")]
    monkeypatch.setattr(provider_registry, "entry_points", lambda group: points)
    with pytest.raises(StartupError, match="Two installed packages bring a provider called echo"):
        installed()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"provider": "openai_compatibel"}, "did you mean openai_compatible?"),
        ({"provider": "x"}, f"there are {', '.join(sorted(installed()))}."),
        ({"provider": "echo", "max_tokns": 3}, "unknown key model.max_tokns; did you mean max_tokens?"),
        ({"provider": "echo", "transform": "rot13"}, "model.transform"),
        ({"provider": "echo", "pace": "soon"}, "model.pace: expected a duration"),
        ({"provider": "scripted"}, "give replies, or a file that holds them"),
        ({"provider": "openai_compatible", "endpoint": "http://host:99999/v1"}, "Port out of range"),
        ({"provider": "openai_compatible", "endpoint": "http://[::1/v1"}, "Invalid IPv6 URL"),
        ({"provider": "openai_compatible", "endpoint": "http://a..b/v1"}, "label empty or too long"),
        ({"provider": "openai_compatible", "api_key": "sk-\n123"}, "header authorization"),
        ({"provider": "openai_compatible", "headers": {"x-key": "ключ"}}, "header x-key"),
        ({"provider": "openai_compatible", "headers": {"x key": "1"}}, "header x key"),
        (
            {"provider": "openai_compatible", "http": {"ca_file": "/nowhere"}},
            "ca_file /nowhere cannot be used",
        ),
    ],
)
def test_a_backend_that_cannot_be_made_is_told_by_its_key(settings, sentence):
    with pytest.raises(StartupError) as refused:
        make(**settings)
    assert sentence in str(refused.value)
    assert "123" not in str(refused.value)


def test_a_provider_that_cannot_be_loaded_is_named():
    broken = {"bad": EntryPoint("bad", "nowhere.to.be.found:Bad", provider_registry.GROUP)}
    with pytest.raises(StartupError, match="The provider bad cannot be loaded from nowhere"):
        make_provider("model", BackendSettings(provider="bad"), broken)


def test_a_ca_file_that_is_no_certificate_is_told(tmp_path):
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(StartupError, match="cannot be used"):
        make(provider="openai_compatible", http={"ca_file": str(tmp_path / "ca.pem")})
