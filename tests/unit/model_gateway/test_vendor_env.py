"""The vendors' environment variables: for a backend without its own values, and without any configuration."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.backend_config import default_aliases, plan_backends
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.local_model import find_local_model
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.redaction import secrets_of
from clawdbot_servicekit.settings import load

KEY = "sk-0123456789abcdef"
ALL = ("anthropic", "echo", "gemini", "llama_cpp", "ollama", "openai", "openai_compatible", "self_hosted")
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
def plan_of(tmp_path):
    """The plan for a text and an environment, with these providers installed."""

    def plan(text, available=ALL, local_model=None, **environ):
        path = tmp_path / "clawdbot.yaml"
        path.write_text(text, encoding="utf-8")
        return plan_backends(load(GatewaySettings, path, environ), available, local_model)

    return plan


def one(target):
    return {"chat": (target,), "default": (target,)}


def key_of(backend):
    return backend.api_key.get_secret_value() if backend.api_key else None


# A backend without its own values


@VENDORS
def test_a_backend_without_a_key_gets_its_vendors(plan_of, provider, variable):
    plan = plan_of(f"model: {{provider: {provider}}}", **{f"{variable}_API_KEY": KEY})
    backend = plan.backends[provider]
    assert (key_of(backend), backend.endpoint) == (KEY, None)
    assert (plan.aliases, plan.reason) == (one(Target(provider, "*")), "the first model that it lists")


@VENDORS
def test_the_model_may_come_from_a_variable_too(plan_of, provider, variable):
    environ = {f"{variable}_API_KEY": KEY, f"{variable}_MODEL": "theirs"}
    plan = plan_of(f"model: {{provider: {provider}}}", **environ)
    assert (plan.aliases, plan.reason) == (one(Target(provider, "theirs")), f"set by {variable}_MODEL")
    named = plan_of(f"model: {{provider: {provider}, name: ours}}", **environ)
    assert (named.aliases, named.reason) == (one(Target(provider, "ours")), "as configured")


@VENDORS
def test_a_key_is_not_sent_to_another_vendor_or_to_a_configured_endpoint(plan_of, provider, variable):
    others = {f"{each}_API_KEY": KEY for each in ("OPENAI", "ANTHROPIC", "GEMINI") if each != variable}
    with pytest.raises(
        StartupError, match=f"set {variable}_API_KEY or .*_BASE_URL, or configure model.endpoint"
    ):
        plan_of(f"model: {{provider: {provider}}}", **others)
    text = f"model: {{provider: {provider}, endpoint: 'http://elsewhere/v1'}}"
    backend = plan_of(text, **others, **{f"{variable}_API_KEY": KEY}).backends[provider]
    assert (key_of(backend), backend.endpoint) == (None, "http://elsewhere/v1")


@pytest.mark.parametrize("provider", ["ollama", "self_hosted", "echo"])
def test_a_provider_without_a_vendor_gets_no_key(plan_of, provider):
    keys = dict.fromkeys(["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"], KEY)
    backend = plan_of(f"model: {{provider: {provider}}}", **keys).backends[provider]
    assert (backend.api_key, backend.endpoint) == (None, None)


def test_each_of_several_backends_gets_its_own_key(plan_of):
    plan = plan_of(
        "models: {backends: {a: {provider: anthropic}, g: {provider: gemini}, o: {provider: openai}}}",
        ANTHROPIC_API_KEY="key-a",
        GEMINI_API_KEY="key-g",
        OPENAI_API_KEY="key-o",
    )
    assert {name: key_of(each) for name, each in plan.backends.items()} == {
        "a": "key-a",
        "g": "key-g",
        "o": "key-o",
    }


def test_geminis_key_may_be_in_googles_variable_and_its_own_variable_takes_precedence(plan_of):
    text = "model: {provider: gemini}"
    assert key_of(plan_of(text, GOOGLE_API_KEY="google").backends["gemini"]) == "google"
    both = plan_of(text, GOOGLE_API_KEY="google", GEMINI_API_KEY="gemini")
    assert key_of(both.backends["gemini"]) == "gemini"


@pytest.mark.parametrize(
    ("provider", "variable", "base_url", "endpoint"),
    [
        ("openai", "OPENAI_BASE_URL", "http://proxy/v1", "http://proxy/v1"),
        ("anthropic", "ANTHROPIC_BASE_URL", "http://proxy", "http://proxy/v1"),
        ("anthropic", "ANTHROPIC_BASE_URL", "http://proxy/claude/v1/", "http://proxy/claude/v1"),
        ("gemini", "GOOGLE_GEMINI_BASE_URL", "http://proxy/", "http://proxy/v1beta"),
    ],
)
def test_a_base_url_works_as_in_the_vendors_library(plan_of, provider, variable, base_url, endpoint):
    plan = plan_of(f"model: {{provider: {provider}}}", **{variable: base_url})
    assert plan.backends[provider].endpoint == endpoint


def test_the_keys_are_recognized_as_secrets(tmp_path):
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
def test_without_a_configuration_a_key_selects_its_vendor(plan_of, variable, backend, provider):
    plan = plan_of("", **{variable: KEY})
    assert list(plan.backends) == [backend, "ollama", "echo"]
    assert (plan.backends[backend].provider, key_of(plan.backends[backend])) == (provider, KEY)
    aliases, reason = default_aliases(plan, {"ollama": "connection refused"}, {backend: 3})
    assert (aliases, reason) == (one(Target(backend, "*")), f"{variable} is set")


def test_the_first_of_several_keys_is_used(plan_of):
    keys = {"GEMINI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    assert list(plan_of("", **keys).backends) == ["anthropic", "ollama", "echo"]
    assert list(plan_of("", OPENAI_API_KEY=KEY, **keys).backends) == ["openai", "ollama", "echo"]


def test_the_model_of_the_environment_is_used_then_as_well(plan_of):
    plan = plan_of("", ANTHROPIC_API_KEY=KEY, ANTHROPIC_MODEL="claude-theirs")
    assert default_aliases(plan, {}, {})[0] == one(Target("anthropic", "claude-theirs"))


def test_a_key_is_ignored_where_its_provider_is_not_installed(plan_of):
    plan = plan_of("", ("openai_compatible", "echo"), ANTHROPIC_API_KEY=KEY)
    assert list(plan.backends) == ["echo"]
    assert "set OPENAI_API_KEY, or configure `model:`" in default_aliases(plan, {}, {"echo": 1})[1]
    assert "it echoes your messages; configure `model:`" in default_aliases(plan_of("", ("echo",)), {}, {})[1]


def test_ollama_is_next_if_it_has_a_model(plan_of):
    plan = plan_of("")
    assert (plan.backends["ollama"].provider, plan.backends["ollama"].endpoint) == (
        "ollama",
        "http://127.0.0.1:11434",
    )
    aliases, reason = default_aliases(plan, {}, {"ollama": 2, "echo": 1})
    assert aliases == one(Target("ollama", "*"))
    assert "Ollama" in reason


def test_the_echo_is_last_and_says_what_to_do(plan_of):
    aliases, reason = default_aliases(plan_of(""), {"ollama": "connection refused"}, {"ollama": 0, "echo": 1})
    assert aliases == one(Target("echo", "echo"))
    assert "set OPENAI_API_KEY or ANTHROPIC_API_KEY or GEMINI_API_KEY, start Ollama, or configure" in reason
    assert "pull" not in reason
    assert "ollama pull" in default_aliases(plan_of(""), {}, {"ollama": 0, "echo": 1})[1]


def test_looking_for_ollama_can_be_disabled(plan_of):
    assert list(plan_of("gateway: {ollama: null}").backends) == ["echo"]


# A small model on this machine


@pytest.fixture
def with_small_model(plan_of, tmp_path):
    path = tmp_path / "small.gguf"
    return lambda text="", available=ALL, **environ: plan_of(text, available, path, **environ)


def test_a_small_model_on_this_machine_answers_before_the_echo(with_small_model):
    plan = with_small_model()
    assert list(plan.backends) == ["ollama", "local", "echo"]
    aliases, reason = default_aliases(plan, {"ollama": "connection refused"}, {"local": 1, "echo": 1})
    assert aliases == one(Target("local", "smollm2-135m"))
    assert reason.startswith("a small model on this machine")
    assert reason.endswith("or configure `model:` to use a better one")
    assert "ollama pull" in default_aliases(plan, {}, {"ollama": 0, "local": 1, "echo": 1})[1]


def test_ollama_and_keys_come_before_a_small_model(with_small_model):
    aliases, _ = default_aliases(with_small_model(), {}, {"ollama": 1, "local": 1, "echo": 1})
    assert aliases == one(Target("ollama", "*"))
    assert "local" not in with_small_model(OPENAI_API_KEY=KEY).backends


@pytest.mark.parametrize("text", ["gateway: {local_model: false}", "model: {provider: echo}"])
def test_a_small_model_is_not_used_where_it_is_disabled_or_another_is_configured(with_small_model, text):
    assert "local" not in with_small_model(text).backends


def test_a_small_model_is_not_used_without_its_provider(with_small_model):
    assert list(with_small_model("", ("echo",)).backends) == ["echo"]


def test_a_small_model_has_its_makers_sampling_and_is_offered_no_tools(with_small_model):
    local = with_small_model().backends["local"]
    assert (local.temperature, local.top_p) == (0.2, 0.9)
    assert local.provider_options["unsupported"] == ["tools"]
    assert local.provider_options["unload_after"] > 0


@pytest.mark.parametrize(
    ("package", "value"), [("DISTRIBUTION", "no-such-distribution"), ("RUNTIME", "no_such_package")]
)
def test_without_either_of_its_packages_there_is_no_small_model(monkeypatch, package, value):
    monkeypatch.setattr(f"clawdbot_model_gateway.local_model.{package}", value)
    assert find_local_model() is None
