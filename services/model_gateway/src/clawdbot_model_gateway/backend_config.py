"""Plans the backends and aliases: as configured, or as discovered where nothing is configured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.suggestions import nearest_or_all

from clawdbot_model_gateway.core.routing.routing_table import (
    ANY_MODEL,
    CHAT_ALIAS,
    DEFAULT_ALIAS,
    Aliases,
    Balance,
    RoutingPolicy,
    Target,
)
from clawdbot_model_gateway.local_model import DESCRIPTION, NAME, PROVIDER, local_model_settings
from clawdbot_model_gateway.provider_registry import installed_providers
from clawdbot_model_gateway.settings import BackendSettings, GatewaySettings, HttpSettings
from clawdbot_model_gateway.settings.routing import AliasTarget, BalanceSettings, ModelsSettings
from clawdbot_model_gateway.vendor_env import first_vendor_with_key, key_variables, vendor_defaults

if TYPE_CHECKING:
    from clawdbot_model_gateway.core.routing.routing_rules import RoutingRules

OLLAMA: Final = "ollama"
LOCAL: Final = "local"
ECHO: Final = "echo"

LOCAL_HTTP: Final = HttpSettings(connect_timeout=1.0)
"""For a server on this machine."""


@dataclass(frozen=True, slots=True)
class BackendPlan:
    """The backends and aliases that the gateway starts with."""

    backends: Mapping[str, BackendSettings]
    config_paths: Mapping[str, str]
    """Backend → its section of the configuration, such as "models.backends.vllm"."""
    aliases: Aliases
    """Empty where it depends on which backends answer: `default_aliases`."""
    reason: str = ""
    """Why these were chosen, for the banner."""
    vendor: str = ""
    """The backend that a vendor's key has added, where nothing is configured."""
    advice: str = ""
    """How to name another model, where nothing is configured."""
    chat_is_default: bool = True
    """Whether `chat` and `default` are two names of one alias, since at most one of them is configured."""
    policy: RoutingPolicy = field(default_factory=RoutingPolicy)
    locating_errors: Callable[[], AbstractContextManager[None]] = nullcontext
    """Inside it a StartupError about a key also says where that is."""

    @property
    def is_configured(self) -> bool:
        """Whether `model` or `models` says what to use."""
        return bool(self.aliases)


def plan_backends(
    settings: GatewaySettings, available: Collection[str] | None = None, local_model: Path | None = None
) -> BackendPlan:
    """The plan for a configuration.

    Args:
        settings: the configuration.
        available: names of the installed providers; looked up where omitted.
        local_model: the file of a small model on this machine, if there is one.

    Raises:
        StartupError: for an alias without a valid target, or a backend that has neither endpoint nor key.
    """
    with settings.locating_errors():
        plan = _plan(settings, available, local_model)
    return replace(plan, locating_errors=settings.locating_errors)


def _plan(
    settings: GatewaySettings, available: Collection[str] | None, local_model: Path | None
) -> BackendPlan:
    if settings.models is not None:
        plan = _several_backends(settings.models, settings)
    elif settings.model is not None:
        plan = _one_backend(settings.model, settings)
    else:
        installed = installed_providers() if available is None else available
        plan = _candidates(settings, installed, local_model)
    if settings.gateway.cache.semantic is not None:
        path, aliases = "gateway.cache.semantic.model", plan.aliases or {CHAT_ALIAS: (), DEFAULT_ALIAS: ()}
        _check_model(path, settings.gateway.cache.semantic.model, plan.backends, aliases)
    return plan


def default_aliases(
    plan: BackendPlan, unlisted: Mapping[str, str], listed: Mapping[str, int]
) -> tuple[Aliases, str]:
    """The aliases where nothing is configured, and the reason for the banner.

    Args:
        plan: with the candidates.
        unlisted: backend → why it did not list its models.
        listed: backend → number of its models.
    """
    if plan.vendor:
        model = plan.backends[plan.vendor].name or ANY_MODEL
        return _chat_and_default(Target(plan.vendor, model)), plan.reason
    if listed.get(OLLAMA):
        return _chat_and_default(Target(OLLAMA, ANY_MODEL)), "Ollama runs on this machine"
    empty = OLLAMA in plan.backends and OLLAMA not in unlisted
    note = "Ollama runs here but has no model (ollama pull qwen3); " if empty else ""
    if LOCAL in plan.backends:
        return _chat_and_default(
            Target(LOCAL, NAME)
        ), f"{note}{DESCRIPTION}; {plan.advice} to use a better one"
    reason = f"{note}it echoes your messages; {plan.advice} to use a real model"
    return _chat_and_default(Target(ECHO, ECHO)), reason


def _one_backend(model: BackendSettings, settings: GatewaySettings) -> BackendPlan:
    backend = _with_vendor_defaults("model", model, settings)
    name = backend.provider
    first = backend.name or (backend.models[0].name if backend.models else ANY_MODEL)
    defaults = vendor_defaults(name, settings)
    reason = "as configured"
    if first == ANY_MODEL:
        reason = "the first model that it lists"
    elif defaults is not None and not model.name and not model.models:
        reason = f"set by {defaults.vendor.variable('model')}"
    return BackendPlan({name: backend}, {name: "model"}, _chat_and_default(Target(name, first)), reason)


def _several_backends(models: ModelsSettings, settings: GatewaySettings) -> BackendPlan:
    config_paths = {name: f"models.backends.{name}" for name in models.backends}
    backends = {
        name: _with_vendor_defaults(config_paths[name], each, settings)
        for name, each in models.backends.items()
    }
    aliases = {
        alias: tuple(
            _target(f"models.aliases.{alias}", each, backends, models.aliases) for each in settings.targets
        )
        for alias, settings in models.aliases.items()
    }
    first, first_settings = next(iter(backends.items()))
    default = (
        aliases.get(DEFAULT_ALIAS)
        or aliases.get(CHAT_ALIAS)
        or _chat_and_default(Target(first, first_settings.name or ANY_MODEL))[DEFAULT_ALIAS]
    )
    with_defaults = {DEFAULT_ALIAS: default, CHAT_ALIAS: default, **aliases}
    return BackendPlan(
        backends,
        config_paths,
        with_defaults,
        "as configured",
        chat_is_default=not {CHAT_ALIAS, DEFAULT_ALIAS} <= aliases.keys(),
        policy=_policy(models, backends, with_defaults),
    )


def _policy(
    models: ModelsSettings, backends: Mapping[str, BackendSettings], aliases: Aliases
) -> RoutingPolicy:
    balances = {
        alias: _balance(settings.balance)
        for alias, settings in models.aliases.items()
        if settings.balance is not None
    }
    if CHAT_ALIAS in balances and DEFAULT_ALIAS not in models.aliases:
        balances[DEFAULT_ALIAS] = balances[CHAT_ALIAS]
    if DEFAULT_ALIAS in balances and CHAT_ALIAS not in models.aliases:
        balances[CHAT_ALIAS] = balances[DEFAULT_ALIAS]
    return RoutingPolicy(_balance(models.balance), balances, _rules(models, backends, aliases))


def _rules(
    models: ModelsSettings, backends: Mapping[str, BackendSettings], aliases: Aliases
) -> RoutingRules | None:
    if not models.rules:
        return None
    # Only here: CEL takes a while to load.
    from clawdbot_model_gateway.core.routing.routing_rules import RoutingRules

    for number, rule in enumerate(models.rules):
        _check_model(f"models.rules[{number}].model", rule.model, backends, aliases)
    return RoutingRules([(each.when, each.model) for each in models.rules])


def _balance(settings: BalanceSettings) -> Balance:
    return Balance(settings.by, settings.prefix_length, settings.max_load)


def _candidates(
    settings: GatewaySettings, available: Collection[str], local_model: Path | None
) -> BackendPlan:
    """The backends to try where nothing is configured."""
    ollama = settings.gateway.ollama
    defaults = first_vendor_with_key(settings, available)
    backends: dict[str, BackendSettings] = {}
    if defaults is not None:
        bare = BackendSettings(provider=defaults.vendor.provider)
        backends[defaults.vendor.name] = _with_vendor_defaults("model", bare, settings)
    if ollama is not None and OLLAMA in available:
        backends[OLLAMA] = BackendSettings(provider=OLLAMA, endpoint=ollama, http=LOCAL_HTTP)
    wanted = defaults is None and settings.gateway.local_model and PROVIDER in available
    if local_model is not None and wanted:
        backends[LOCAL] = local_model_settings(local_model)
    backends[ECHO] = BackendSettings(provider=ECHO)
    return BackendPlan(
        backends,
        dict.fromkeys(backends, "model"),
        {},
        reason=f"{defaults.variable} is set" if defaults else "",
        vendor=defaults.vendor.name if defaults else "",
        advice=_advice(available),
    )


def _advice(available: Collection[str]) -> str:
    options = [f"set {' or '.join(keys)}"] if (keys := key_variables(available)) else []
    options += ["start Ollama"] if OLLAMA in available else []
    return f"{', '.join([*options, 'or configure'] if options else ['configure'])} `model:`"


def _with_vendor_defaults(
    config_path: str, backend: BackendSettings, settings: GatewaySettings
) -> BackendSettings:
    """The backend, completed from its vendor's environment variables where it has no endpoint of its own.

    A key from the environment goes to the endpoint from the environment, or to the vendor of the key, and
    to no other endpoint.
    """
    defaults = vendor_defaults(backend.provider, settings)
    if defaults is None or backend.endpoint is not None:
        return backend
    key = backend.api_key or (None if backend.api_keys else defaults.key)
    if key is None and not backend.api_keys and defaults.endpoint is None:
        vendor = defaults.vendor
        raise StartupError(
            f"{config_path}: {backend.provider} needs an endpoint or a key: set {defaults.variable} or "
            f"{vendor.variable('base_url')}, or configure {config_path}.endpoint or {config_path}.api_key."
        )
    name = backend.name or (None if backend.models else defaults.model)
    return backend.model_copy(update={"endpoint": defaults.endpoint, "api_key": key, "name": name})


def _target(
    config_path: str,
    configured: AliasTarget,
    backends: Mapping[str, BackendSettings],
    aliases: Collection[str] = (),
) -> Target:
    backend, _, model = configured.target.partition("/")
    if backend not in backends:
        if configured.target in aliases:
            raise StartupError(
                f"{config_path}: {backend} is an alias; a target must be BACKEND/MODEL, such as "
                f"{next(iter(backends))}/MODEL."
            )
        raise StartupError(f"{config_path}: there is no backend {backend}{nearest_or_all(backend, backends)}")
    if not model:
        raise StartupError(
            f"{config_path}: {configured.target} has no model; write {backend}/MODEL or {backend}/*."
        )
    models = [each.name for each in backends[backend].models]
    if models and model != ANY_MODEL and model not in models:
        raise StartupError(f"{config_path}: {backend} has no model {model}{nearest_or_all(model, models)}")
    return Target(backend, model, configured.weight, configured.fallback)


def _check_model(
    config_path: str, name: str, backends: Mapping[str, BackendSettings], aliases: Aliases
) -> None:
    """A setting that names a model names an alias or a target that there is."""
    if "/" in name:
        _target(config_path, AliasTarget(target=name), backends)
    elif name not in aliases:
        raise StartupError(f"{config_path}: there is no alias {name}{nearest_or_all(name, aliases)}")


def _chat_and_default(target: Target) -> Aliases:
    return {DEFAULT_ALIAS: (target,), CHAT_ALIAS: (target,)}
