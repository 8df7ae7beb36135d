"""From a configuration, or none, to backends and aliases; and the messages about an invalid one."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from clawdbot_model_gateway import provider_registry
from clawdbot_model_gateway.backend_config import plan_backends
from clawdbot_model_gateway.core.routing.routing_table import Balance, Target
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider
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
    """Loads settings from a text and an environment."""

    def read(text, **environ):
        path = tmp_path / "clawdbot.yaml"
        path.write_text(text, encoding="utf-8")
        return load(GatewaySettings, path, environ)

    return read


@pytest.fixture
def plan_of(read):
    return lambda text, **environ: plan_backends(read(text, **environ))


def one(target):
    return {"chat": (target,), "default": (target,)}


# The short form


def test_the_short_form_takes_endpoint_and_key_from_the_environment(plan_of):
    plan = plan_of(THREE_LINES, OPENAI_BASE_URL=URL, OPENAI_API_KEY=KEY)
    backend = plan.backends["openai_compatible"]
    assert (backend.endpoint, backend.api_key.get_secret_value()) == (URL, KEY)
    assert (backend.max_tokens, backend.temperature) == (2048, 0.7)
    assert plan.aliases == one(Target("openai_compatible", "*"))


def test_the_model_is_configured_else_from_the_environment_else_the_first_listed(plan_of):
    env = {"OPENAI_API_KEY": KEY, "OPENAI_MODEL": "gpt-env"}
    named = plan_of(THREE_LINES, **env)
    assert (named.aliases, named.reason) == (
        one(Target("openai_compatible", "gpt-env")),
        "set by OPENAI_MODEL",
    )
    assert plan_of(THREE_LINES, OPENAI_API_KEY=KEY).reason == "the first model that it lists"
    for key in ("name", "model"):
        plan = plan_of(f"model: {{provider: openai_compatible, {key}: gpt-file}}", **env)
        assert plan.aliases == one(Target("openai_compatible", "gpt-file"))
        assert plan.reason == "as configured"


def test_a_key_from_the_environment_is_not_sent_to_a_configured_endpoint(plan_of):
    text = f"model: {{provider: openai_compatible, endpoint: '{URL}'}}"
    backend = plan_of(text, OPENAI_API_KEY=KEY, OPENAI_BASE_URL="http://other/v1", OPENAI_MODEL="m").backends
    assert backend["openai_compatible"].api_key is None
    assert backend["openai_compatible"].endpoint == URL
    assert backend["openai_compatible"].name is None


def test_without_endpoint_and_key_the_start_says_what_to_set(plan_of):
    sentence = r"set OPENAI_API_KEY or OPENAI_BASE_URL, or configure model\.endpoint"
    with pytest.raises(StartupError, match=sentence):
        plan_of(THREE_LINES)


def test_a_key_alone_means_openai_and_an_endpoint_alone_needs_no_key(plan_of):
    assert plan_of(THREE_LINES, OPENAI_API_KEY=KEY).backends["openai_compatible"].endpoint is None
    assert plan_of(THREE_LINES, OPENAI_BASE_URL=URL).backends["openai_compatible"].api_key is None


def test_the_configuration_takes_precedence_over_the_environment(read):
    text = f"gateway: {{openai: {{base_url: '{URL}', api_key: '{KEY}'}}}}"
    openai = read(text, OPENAI_BASE_URL="http://other/v1", OPENAI_API_KEY="other").gateway.openai
    assert (openai.base_url, openai.api_key.get_secret_value()) == (URL, KEY)


def test_a_key_in_a_file_takes_precedence_over_the_environment(read, tmp_path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    settings = read("gateway: {openai: {api_key_file: key}}", OPENAI_API_KEY="other")
    assert settings.gateway.openai.api_key.get_secret_value() == KEY


def test_several_keys_are_given_as_they_are_or_with_a_limit_or_in_files(read, tmp_path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    listed = "[one, {key: two, concurrency: 3}, {key_file: key}]"
    keys = read(f"model: {{provider: x, api_keys: {listed}}}").model.api_keys
    assert [(each.key.get_secret_value(), each.concurrency) for each in keys] == [
        ("one", None),
        ("two", 3),
        (KEY, None),
    ]


def test_several_keys_need_none_of_the_environment(plan_of):
    text = "model: {provider: openai_compatible, api_keys: [one, two]}"
    backend = plan_of(text, OPENAI_API_KEY=KEY).backends["openai_compatible"]
    assert backend.api_key is None
    assert [each.key.get_secret_value() for each in plan_of(text).backends["openai_compatible"].api_keys] == [
        "one",
        "two",
    ]


def test_type_and_model_are_other_names_of_provider_and_name(read):
    settings = read("model: {type: echo, model: parrot}")
    assert (settings.model.provider, settings.model.name) == ("echo", "parrot")


def test_secrets_are_recognized_as_secrets(read):
    text = "models: {backends: {a: {provider: x, api_key: secret-one, headers: {x-key: secret-two}}}}"
    secrets = set(secrets_of(read(text, OPENAI_API_KEY="secret-three")))
    assert {"secret-one", "secret-two", "secret-three"} <= secrets


def test_settings_created_in_code_ignore_the_environment(monkeypatch):
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


def test_aliases_have_weights_and_fallbacks(plan_of):
    aliases = plan_of(LONG).aliases
    assert aliases["chat"] == (
        Target("vllm-a", "qwen3", 9),
        Target("vllm-a", "llama"),
        Target("parrot", "echo", fallback=True),
    )
    assert aliases["fast"] == (Target("parrot", "*"),)


def test_an_alias_may_have_its_own_balance(plan_of):
    own = "models: {backends: {a: {provider: echo}}, balance: least_latency, aliases: {ALIASES}}"
    policy = plan_of(own.replace("ALIASES", "chat: {targets: [a/x, a/y], balance: prefix}, old: a/x")).policy
    assert policy.balance_of("chat") == policy.balance_of("") == Balance("prefix")
    assert policy.balance_of("old") == policy.balance_of("switched later") == Balance("least_latency")
    long = "chat: {targets: a/x, balance: {by: prefix, prefix_length: 9, max_load: 2}}"
    assert plan_of(own.replace("ALIASES", long)).policy.balance_of("chat") == Balance("prefix", 9, 2.0)


def test_default_is_the_same_as_chat_where_it_is_not_configured(plan_of):
    aliases = plan_of(LONG).aliases
    assert aliases["default"] == aliases["chat"]


def test_chat_and_default_always_exist(plan_of):
    aliases = plan_of("models: {backends: {b: {provider: echo}, a: {provider: echo}}}").aliases
    assert aliases == one(Target("b", "*"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("models: {backends: {a: {provider: echo}}, aliases: {chat: b/x}}", "no backend b; available: a."),
        ("models: {backends: {abc: {provider: echo}}, aliases: {chat: abd/x}}", "did you mean abc?"),
        ("models: {backends: {a: {provider: echo}}, aliases: {chat: a}}", "write a/MODEL or a/*"),
        (
            "models: {backends: {a: {provider: echo}}, rules: [{when: 'true', model: chatt}]}",
            "models.rules[0].model: there is no alias chatt; did you mean chat?",
        ),
        (
            "models: {backends: {a: {provider: echo}}, rules: [{when: 'true', model: b/x}]}",
            "models.rules[0].model: there is no backend b; available: a.",
        ),
        (
            "models: {backends: {a: {provider: x, models: [qwen3]}}, aliases: {chat: a/qwen}}",
            "a has no model qwen; did you mean qwen3?",
        ),
    ],
)
def test_an_alias_without_a_valid_target_stops_the_start(plan_of, text, sentence):
    with pytest.raises(StartupError) as refused:
        plan_of(text)
    assert sentence in str(refused.value)


ONE_RULE = "models: {backends: {a: {provider: x}}, rules: ["
ONE_ALIAS = "models: {backends: {a: {provider: x}}, aliases: {chat: "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "model: {provider: echo}\nmodels: {backends: {a: {provider: echo}}}",
            "set model or models, not both",
        ),
        ("model: {provider: echo, type: echo}", "set provider or type, not both"),
        ("model: {max_tokens: 3}", "model.provider is missing"),
        ("model: {provider: echo, max_tokens: 0}", "model.max_tokens: expected at least 1"),
        ("model: {provider: x, endpoint: 'http://user:password@host/v1'}", "model.endpoint"),
        ("model: {provider: x, endpoint: 'localhost:8000'}", "model.endpoint"),
        ("model: {provider: x, http: {idle_timeot: 3s}}", "did you mean model.http.idle_timeout?"),
        ("models: {backends: {}}", "models.backends"),
        ("models: {backends: {a/b: {provider: echo}}}", "models.backends.a/b"),
        ("models: {backends: {a: {provider: x}}, aliases: {chat: []}}", "the alias chat has no targets"),
        ("models: {backends: {a: {provider: x}}, aliases: {chat: [a/x, a/x]}}", "chat lists a target twice"),
        ("models: {backends: {a: {provider: x}}, aliases: {chat: [{target: a/x, weight: 0}]}}", "at least 1"),
        ("models: {backends: {a: {provider: x}}, balance: fast}", "models.balance: expected 'weighted'"),
        (
            f"{ONE_RULE}{{when: tenant ==, model: a/x}}]}}",
            "models.rules[0].when: at character 10: it ends too early",
        ),
        (f"{ONE_RULE}{{when: request.tool == 1, model: a/x}}]}}", "models.rules[0].when: at character 8"),
        (f"{ONE_RULE}{{when: tenant, model: a/x}}]}}", "models.rules[0].when: expected a condition"),
        (f"{ONE_RULE}{{if: 'true', model: a/x}}]}}", "models.rules[0].when is missing"),
        (f"{ONE_ALIAS}{{targets: [a/x], balance: fast}}}}}}", "models.aliases.chat.balance: expected"),
        (f"{ONE_ALIAS}{{targets: [], balance: prefix}}}}}}", "the alias chat has no targets"),
        (f"{ONE_ALIAS}{{balance: prefix}}}}}}", "models.aliases.chat.targets is missing"),
        (f"{ONE_ALIAS}{{targets: [a/x], balanced: prefix}}}}}}", "did you mean models.aliases.chat.balance?"),
        (
            f"{ONE_ALIAS}{{targets: a/x, balance: {{by: prefix, max_load: 0.9}}}}}}}}",
            "models.aliases.chat.balance.max_load: expected at least 1",
        ),
        ("model: {provider: x, breaker: {cooldown: 5m}}", "cooldown must not be above max_cooldown"),
        ("model: {provider: x, breaker: {failure_share: 0}}", "model.breaker.failure_share"),
        (
            "model: {provider: x, api_key: password, api_keys: [password]}",
            "api_key or api_keys, not both",
        ),
        (
            "model: {provider: x, api_keys: [{key: password, concurrency: 0}]}",
            "api_keys[0].concurrency",
        ),
        ("model: {provider: x, api_keys: [{concurrency: 3}]}", "model.api_keys[0].key is missing"),
        (
            "model: {provider: x, queue: {concurrency: {min: 10, max: 2}}}",
            "model.queue.concurrency: min is 10 and max is 2; min must not be above max.",
        ),
        ("gateway: {cache: {ttl: 2d}}", "gateway.cache.ttl: expected at most 1d."),
        ("model: {provider: x, hedge: {after: 90000}}", "model.hedge.after: expected at most 1d."),
        ("model: {provider: x, http: {idle_timeout: 0s}}", "model.http.idle_timeout: expected more than 0."),
        ("server: {grace: 2h}", "server.grace: expected at most 1h."),
        ("model: {provider: x, queue: {size: 2000000}}", "model.queue.size: expected at most 1000000."),
        ("model: {provider: x, retry: {base: 10s, max: 1s}}", "base is 10 s and max is 1 s"),
        ("model: {provider: x, api_keys: []}", "api_keys is an empty list; give at least one key"),
        (
            "model: {provider: x, api_keys: [password, other, {key: password, concurrency: 2}]}",
            "api_keys[2] is the same key as api_keys[0]",
        ),
        ("model: {provider: x, http: {warm: 9, pool_size: 8}}", "warm must not be above pool_size"),
        (
            f"{ONE_RULE}{{when: 'tenant.matches(\"[\")', model: a/x}}]}}",
            'models.rules[0].when: "[" is not a regular expression: missing ]',
        ),
    ],
)
def test_a_message_about_an_invalid_configuration_names_the_key_and_never_the_value(read, text, sentence):
    with pytest.raises(StartupError) as refused:
        read(text)
    assert sentence in str(refused.value)
    assert "password" not in str(refused.value)


SEMANTIC = "gateway: {cache: {semantic: {tenants: ['*'], model: NAME}}}"
TWO_LISTED = (
    "models: {backends: {a: {provider: echo, models: [m]}, b: {provider: echo}}, aliases: {vectors: a/m}}"
)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nosuch", "there is no alias nosuch; available: chat, default, vectors."),
        ("vektors", "did you mean vectors?"),
        ("c/m", "there is no backend c"),
        ("a/n", "a has no model n"),
        ("a/", "has no model; write a/MODEL"),
    ],
)
@pytest.mark.parametrize("several", [True, False])
def test_the_model_of_the_semantic_cache_must_exist(plan_of, name, sentence, several):
    models = TWO_LISTED if several else "model: {provider: echo, models: [m]}"
    with pytest.raises(StartupError, match=r"clawdbot\.yaml:2: gateway\.cache\.semantic\.model: ") as refused:
        plan_of(f"{models}\n{SEMANTIC.replace('NAME', name)}")
    if several:
        assert sentence in str(refused.value)


@pytest.mark.parametrize("aliases", ["{chat: chat}", "{chat: x, x: chat}", "{chat: a/m, x: chat}"])
def test_a_target_is_no_alias(plan_of, aliases):
    models = f"models: {{backends: {{a: {{provider: echo, models: [m]}}}}, aliases: {aliases}}}"
    with pytest.raises(StartupError, match="is an alias; a target must be BACKEND/MODEL, such as a/MODEL"):
        plan_of(models)


@pytest.mark.parametrize("name", ["vectors", "chat", "default", "a/m", "b/anything", "b/*"])
def test_the_model_of_the_semantic_cache_is_an_alias_or_a_target(plan_of, name):
    assert plan_of(f"{TWO_LISTED}\n{SEMANTIC.replace('NAME', repr(name))}").is_configured


# Providers


def make(**settings):
    return make_provider("model", BackendSettings(**settings), installed_providers())


def test_the_installed_providers_are_those_of_the_entry_points():
    assert {"echo", "scripted", "openai_compatible"} <= set(installed_providers())


def test_two_packages_with_one_name_stop_the_start(monkeypatch):
    points = [EntryPoint("echo", value, provider_registry.ENTRY_POINT_GROUP) for value in ("one:A", "two:B")]
    monkeypatch.setattr(provider_registry, "entry_points", lambda group: points)
    with pytest.raises(StartupError, match="Two installed packages define the provider echo"):
        installed_providers()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"provider": "openai_compatibel"}, "did you mean openai_compatible?"),
        ({"provider": "x"}, f"available: {', '.join(sorted(installed_providers()))}."),
        ({"provider": "echo", "max_tokns": 3}, "unknown key model.max_tokns; did you mean max_tokens?"),
        ({"provider": "echo", "transform": "rot13"}, "model.transform"),
        ({"provider": "echo", "pace": "soon"}, "model.pace: expected a duration"),
        ({"provider": "scripted"}, "give replies, or a file that holds them"),
        ({"provider": "openai_compatible", "endpoint": "http://host:99999/v1"}, "Port out of range"),
        ({"provider": "openai_compatible", "endpoint": "http://[::1/v1"}, "Invalid IPv6 URL"),
        ({"provider": "openai_compatible", "endpoint": "http://a..b/v1"}, "label empty or too long"),
        ({"provider": "openai_compatible", "endpoint": "http://127.1:8000/v1"}, "Expected 4 octets"),
        ({"provider": "openai_compatible", "endpoint": "http://256.0.0.1/v1"}, "256"),
        ({"provider": "openai_compatible", "api_key": "sk-\n123"}, "header authorization"),
        ({"provider": "openai_compatible", "headers": {"x-key": "ключ"}}, "header x-key"),
        ({"provider": "openai_compatible", "headers": {"x key": "1"}}, "header x key"),
        (
            {"provider": "openai_compatible", "http": {"ca_file": "/nowhere"}},
            "ca_file /nowhere cannot be used",
        ),
    ],
)
def test_a_message_about_an_invalid_backend_names_the_key(settings, sentence):
    with pytest.raises(StartupError) as refused:
        make(**settings)
    assert sentence in str(refused.value)
    assert "123" not in str(refused.value)


def test_a_provider_that_cannot_be_loaded_is_named():
    broken = {"bad": EntryPoint("bad", "nowhere.to.be.found:Bad", provider_registry.ENTRY_POINT_GROUP)}
    with pytest.raises(StartupError, match="The provider bad cannot be loaded from nowhere"):
        make_provider("model", BackendSettings(provider="bad"), broken)


def test_an_invalid_ca_file_stops_the_start(tmp_path):
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(StartupError, match="cannot be used"):
        make(provider="openai_compatible", http={"ca_file": str(tmp_path / "ca.pem")})
