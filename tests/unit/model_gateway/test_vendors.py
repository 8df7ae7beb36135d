"""What the vendors' usual variables do: for a backend that says nothing itself, and without configuration."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.backend_config import found, lineup_of
from clawdbot_model_gateway.core.routing import Target
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.redaction import secrets_of
from clawdbot_servicekit.settings import load

KEY = "sk-0123456789abcdef"
ALL = ("anthropic", "echo", "gemini", "ollama", "openai", "openai_compatible", "self_hosted")
VENDORS = pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("openai_compatible", "OPENAI"),
        ("openai", "OPENAI"),
        ("anthropic", "ANTHROPIC"),
        ("gemini", "GEMINI"),
    ],
)


@pytest.fixture
def lineup(tmp_path):
    """A line-up from a text and an environment, with these providers installed."""

    def made(text, available=ALL, **environ):
        path = tmp_path / "clawdbot.yaml"
        path.write_text(text, encoding="utf-8")
        return lineup_of(load(GatewaySettings, path, environ), available)

    return made


def one(target):
    return {"chat": (target,), "default": (target,)}


def key_of(backend):
    return backend.api_key.get_secret_value() if backend.api_key else None


# A backend that says nothing itself


@VENDORS
def test_a_backend_without_a_key_takes_its_vendors(lineup, provider, variable):
    made = lineup(f"model: {{provider: {provider}}}", **{f"{variable}_API_KEY": KEY})
    backend = made.backends[provider]
    assert (key_of(backend), backend.endpoint) == (KEY, None)
    assert (made.aliases, made.why) == (one(Target(provider, "*")), "the first model that it lists")


@VENDORS
def test_the_model_may_be_in_a_variable_too(lineup, provider, variable):
    environ = {f"{variable}_API_KEY": KEY, f"{variable}_MODEL": "theirs"}
    made = lineup(f"model: {{provider: {provider}}}", **environ)
    assert (made.aliases, made.why) == (one(Target(provider, "theirs")), f"{variable}_MODEL says so")
    named = lineup(f"model: {{provider: {provider}, name: ours}}", **environ)
    assert (named.aliases, named.why) == (one(Target(provider, "ours")), "as configured")


@VENDORS
def test_a_key_goes_to_no_other_vendor_and_to_no_endpoint_of_the_configuration(lineup, provider, variable):
    others = {f"{each}_API_KEY": KEY for each in ("OPENAI", "ANTHROPIC", "GEMINI") if each != variable}
    with pytest.raises(StartupError, match=f"set {variable}_API_KEY or .*_BASE_URL, or give model.endpoint"):
        lineup(f"model: {{provider: {provider}}}", **others)
    text = f"model: {{provider: {provider}, endpoint: 'http://elsewhere/v1'}}"
    backend = lineup(text, **others, **{f"{variable}_API_KEY": KEY}).backends[provider]
    assert (key_of(backend), backend.endpoint) == (None, "http://elsewhere/v1")


@pytest.mark.parametrize("provider", ["ollama", "self_hosted", "echo"])
def test_who_is_no_vendor_gets_no_key(lineup, provider):
    keys = dict.fromkeys(["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"], KEY)
    backend = lineup(f"model: {{provider: {provider}}}", **keys).backends[provider]
    assert (backend.api_key, backend.endpoint) == (None, None)


def test_each_of_several_backends_takes_its_own_key(lineup):
    made = lineup(
        "models: {backends: {a: {provider: anthropic}, g: {provider: gemini}, o: {provider: openai}}}",
        ANTHROPIC_API_KEY="key-a",
        GEMINI_API_KEY="key-g",
        OPENAI_API_KEY="key-o",
    )
    assert {name: key_of(each) for name, each in made.backends.items()} == {
        "a": "key-a",
        "g": "key-g",
        "o": "key-o",
    }


def test_geminis_key_may_go_by_googles_name_and_its_own_name_comes_first(lineup):
    text = "model: {provider: gemini}"
    assert key_of(lineup(text, GOOGLE_API_KEY="google").backends["gemini"]) == "google"
    both = lineup(text, GOOGLE_API_KEY="google", GEMINI_API_KEY="gemini")
    assert key_of(both.backends["gemini"]) == "gemini"


@pytest.mark.parametrize(
    ("provider", "variable", "said", "endpoint"),
    [
        ("openai", "OPENAI_BASE_URL", "http://proxy/v1", "http://proxy/v1"),
        ("anthropic", "ANTHROPIC_BASE_URL", "http://proxy", "http://proxy/v1"),
        ("anthropic", "ANTHROPIC_BASE_URL", "http://proxy/claude/v1/", "http://proxy/claude/v1"),
        ("gemini", "GOOGLE_GEMINI_BASE_URL", "http://proxy/", "http://proxy/v1beta"),
    ],
)
def test_a_base_url_is_taken_as_the_vendors_library_takes_it(lineup, provider, variable, said, endpoint):
    made = lineup(f"model: {{provider: {provider}}}", **{variable: said})
    assert made.backends[provider].endpoint == endpoint


def test_their_keys_are_known_as_secrets(tmp_path):
    environ = {"ANTHROPIC_API_KEY": "secret-a", "GEMINI_API_KEY": "secret-g", "GOOGLE_API_KEY": "secret-o"}
    (tmp_path / "clawdbot.yaml").write_text("", encoding="utf-8")
    settings = load(GatewaySettings, tmp_path / "clawdbot.yaml", environ)
    assert set(environ.values()) <= set(secrets_of(settings))


# Nothing configured


@pytest.mark.parametrize(
    ("variable", "backend", "provider"),
    [
        ("OPENAI_API_KEY", "openai", "openai_compatible"),
        ("ANTHROPIC_API_KEY", "anthropic", "anthropic"),
        ("GEMINI_API_KEY", "gemini", "gemini"),
        ("GOOGLE_API_KEY", "gemini", "gemini"),
    ],
)
def test_without_a_configuration_a_key_means_its_vendor(lineup, variable, backend, provider):
    made = lineup("", **{variable: KEY})
    assert list(made.backends) == [backend, "ollama", "echo"]
    assert (made.backends[backend].provider, key_of(made.backends[backend])) == (provider, KEY)
    aliases, why = found(made, {"ollama": "connection refused"}, {backend: 3})
    assert (aliases, why) == (one(Target(backend, "*")), f"{variable} is set")


def test_of_several_keys_the_first_counts(lineup):
    keys = {"GEMINI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    assert list(lineup("", **keys).backends) == ["anthropic", "ollama", "echo"]
    assert list(lineup("", OPENAI_API_KEY=KEY, **keys).backends) == ["openai", "ollama", "echo"]


def test_the_variables_model_is_taken_then_as_well(lineup):
    made = lineup("", ANTHROPIC_API_KEY=KEY, ANTHROPIC_MODEL="claude-theirs")
    assert found(made, {}, {})[0] == one(Target("anthropic", "claude-theirs"))


def test_a_key_is_of_no_use_where_its_provider_is_not_installed(lineup):
    made = lineup("", ("openai_compatible", "echo"), ANTHROPIC_API_KEY=KEY)
    assert list(made.backends) == ["echo"]
    assert "set OPENAI_API_KEY, or configure `model:`" in found(made, {}, {"echo": 1})[1]
    assert "it repeats what is said; configure `model:`" in found(lineup("", ("echo",)), {}, {})[1]


def test_else_ollama_if_it_has_a_model(lineup):
    made = lineup("")
    assert (made.backends["ollama"].provider, made.backends["ollama"].endpoint) == (
        "ollama",
        "http://127.0.0.1:11434",
    )
    aliases, why = found(made, {}, {"ollama": 2, "echo": 1})
    assert aliases == one(Target("ollama", "*"))
    assert "Ollama" in why


def test_else_the_echo_says_what_to_do(lineup):
    aliases, why = found(lineup(""), {"ollama": "connection refused"}, {"ollama": 0, "echo": 1})
    assert aliases == one(Target("echo", "echo"))
    assert "set OPENAI_API_KEY or ANTHROPIC_API_KEY or GEMINI_API_KEY, start Ollama, or configure" in why
    assert "pull" not in why
    assert "ollama pull" in found(lineup(""), {}, {"ollama": 0, "echo": 1})[1]


def test_ollama_need_not_be_looked_for(lineup):
    assert list(lineup("gateway: {ollama: null}").backends) == ["echo"]
