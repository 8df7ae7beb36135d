"""Which backends there are and what the aliases mean: as configured, or as found where nothing is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from clawdbot_servicekit.errors import StartupError

from clawdbot_model_gateway.core.routing import ANY_MODEL, CHAT_ALIAS, DEFAULT_ALIAS, Aliases, Target
from clawdbot_model_gateway.provider_registry import installed, nearest
from clawdbot_model_gateway.settings import (
    AliasTarget,
    BackendSettings,
    GatewaySettings,
    HttpSettings,
    ModelsSettings,
)
from clawdbot_model_gateway.vendor_env import first_known, key_variables, known_of

OLLAMA: Final = "ollama"
ECHO: Final = "echo"

QUICK: Final = HttpSettings(connect_timeout=1.0)
"""For a server on this machine."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """What the gateway begins with."""

    backends: Mapping[str, BackendSettings]
    places: Mapping[str, str]
    """Backend → where the configuration speaks of it."""
    aliases: Aliases
    """Empty where it is for the backends' answers to decide: `found`."""
    why: str = ""
    """Why it is so, for the banner."""
    vendor: str = ""
    """The backend that a vendor's key has made, where nothing is configured."""
    advice: str = ""
    """What to do to talk to a model, where nothing is configured."""


def lineup_of(settings: GatewaySettings, available: Collection[str] | None = None) -> Lineup:
    """What the configuration means.

    Args:
        settings: the configuration.
        available: names of the providers that are installed; looked up when left out.

    Raises:
        StartupError: for an alias that leads nowhere, or a backend that nobody could reach.
    """
    if settings.models is not None:
        return _several(settings.models, settings)
    if settings.model is not None:
        return _one(settings.model, settings)
    return _embedded(settings, installed() if available is None else available)


def found(lineup: Lineup, silent: Mapping[str, str], listed: Mapping[str, int]) -> tuple[Aliases, str]:
    """What the aliases mean where nothing is configured, and why.

    Args:
        lineup: the candidates.
        silent: backend → why it did not list its models.
        listed: backend → how many models it has.
    """
    if lineup.vendor:
        return _both(Target(lineup.vendor, lineup.backends[lineup.vendor].name or ANY_MODEL)), lineup.why
    if listed.get(OLLAMA):
        return _both(Target(OLLAMA, ANY_MODEL)), "Ollama runs on this machine"
    empty = OLLAMA in lineup.backends and OLLAMA not in silent
    reason = "Ollama runs here but has no model (ollama pull qwen3); " if empty else ""
    return _both(Target(ECHO, ECHO)), f"{reason}it repeats what is said; {lineup.advice}"


def _one(model: BackendSettings, settings: GatewaySettings) -> Lineup:
    backend = _addressed("model", model, settings)
    name = backend.provider
    first = backend.name or (backend.models[0].name if backend.models else ANY_MODEL)
    known = known_of(name, settings)
    why = "as configured"
    if first == ANY_MODEL:
        why = "the first model that it lists"
    elif known is not None and not model.name and not model.models:
        why = f"{known.vendor.variable('model')} says so"
    return Lineup({name: backend}, {name: "model"}, _both(Target(name, first)), why)


def _several(models: ModelsSettings, settings: GatewaySettings) -> Lineup:
    places = {name: f"models.backends.{name}" for name in models.backends}
    backends = {name: _addressed(places[name], each, settings) for name, each in models.backends.items()}
    aliases = {
        alias: tuple(_target(alias, each, backends) for each in targets)
        for alias, targets in models.aliases.items()
    }
    first, settled = next(iter(backends.items()))
    usual = (
        aliases.get(DEFAULT_ALIAS)
        or aliases.get(CHAT_ALIAS)
        or _both(Target(first, settled.name or ANY_MODEL))[DEFAULT_ALIAS]
    )
    return Lineup(backends, places, {DEFAULT_ALIAS: usual, CHAT_ALIAS: usual, **aliases}, "as configured")


def _embedded(settings: GatewaySettings, available: Collection[str]) -> Lineup:
    ollama = settings.gateway.ollama
    known = first_known(settings, available)
    backends: dict[str, BackendSettings] = {}
    if known is not None:
        bare = BackendSettings(provider=known.vendor.provider)
        backends[known.vendor.name] = _addressed("model", bare, settings)
    if ollama is not None and OLLAMA in available:
        backends[OLLAMA] = BackendSettings(provider=OLLAMA, endpoint=ollama, http=QUICK)
    backends[ECHO] = BackendSettings(provider=ECHO)
    return Lineup(
        backends,
        dict.fromkeys(backends, "model"),
        {},
        why=f"{known.variable} is set" if known else "",
        vendor=known.vendor.name if known else "",
        advice=_advice(available),
    )


def _advice(available: Collection[str]) -> str:
    ways = [f"set {' or '.join(keys)}"] if (keys := key_variables(available)) else []
    ways += ["start Ollama"] if OLLAMA in available else []
    return f"{', '.join([*ways, 'or configure'] if ways else ['configure'])} `model:` to talk to a model"


def _addressed(place: str, backend: BackendSettings, settings: GatewaySettings) -> BackendSettings:
    """The backend, completed from its vendor's variables where it has no endpoint of its own.

    A key from the environment goes to the endpoint from the environment, or to the vendor whose key it is,
    and nowhere else.
    """
    known = known_of(backend.provider, settings)
    if known is None or backend.endpoint is not None:
        return backend
    key = backend.api_key or known.key
    if key is None and known.endpoint is None:
        vendor = known.vendor
        raise StartupError(
            f"{place}: {backend.provider} needs an endpoint or a key: set {known.variable} "
            f"or {vendor.variable('base_url')}, or give {place}.endpoint or {place}.api_key."
        )
    name = backend.name or (None if backend.models else known.model)
    return backend.model_copy(update={"endpoint": known.endpoint, "api_key": key, "name": name})


def _target(alias: str, wanted: AliasTarget, backends: Mapping[str, BackendSettings]) -> Target:
    place = f"models.aliases.{alias}"
    backend, _, model = wanted.target.partition("/")
    if backend not in backends:
        raise StartupError(f"{place}: there is no backend {backend}{nearest(backend, backends)}")
    if not model:
        raise StartupError(f"{place}: {wanted.target} names no model; write {backend}/MODEL or {backend}/*.")
    known = [each.name for each in backends[backend].models]
    if known and model != ANY_MODEL and model not in known:
        raise StartupError(f"{place}: {backend} has no model {model}{nearest(model, known)}")
    return Target(backend, model, wanted.weight, wanted.fallback)


def _both(target: Target) -> Aliases:
    return {DEFAULT_ALIAS: (target,), CHAT_ALIAS: (target,)}
