"""Which backends there are and what the aliases mean: as configured, or as found where nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clawdbot_servicekit.faults import StartupError

from clawdbot_model_gateway.core.routing import ANY_MODEL, CHAT_ALIAS, DEFAULT_ALIAS, Aliases, Target
from clawdbot_model_gateway.discovery import nearest
from clawdbot_model_gateway.settings import (
    AliasTarget,
    BackendSettings,
    GatewaySettings,
    HttpSettings,
    ModelsSettings,
)

OPENAI: Final = "openai"
OLLAMA: Final = "ollama"
ECHO: Final = "echo"
COMPATIBLE: Final = "openai_compatible"

QUICK: Final = HttpSettings(connect_timeout=1.0)
"""For a server on this machine."""

TRY: Final = "set OPENAI_API_KEY, start Ollama, or configure `model:` to talk to a model"


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


def lineup_of(settings: GatewaySettings) -> Lineup:
    """What the configuration means.

    Raises:
        StartupError: for an alias that leads nowhere, or a backend that nobody could reach.
    """
    if settings.models is not None:
        return _several(settings.models, settings)
    if settings.model is not None:
        return _one(settings.model, settings)
    return _embedded(settings)


def found(lineup: Lineup, silent: Mapping[str, str], listed: Mapping[str, int]) -> tuple[Aliases, str]:
    """What the aliases mean where nothing is configured, and why.

    Args:
        lineup: the candidates.
        silent: backend → why it did not list its models.
        listed: backend → how many models it has.
    """
    if OPENAI in lineup.backends:
        return _both(Target(OPENAI, lineup.backends[OPENAI].name or ANY_MODEL)), "OPENAI_API_KEY is set"
    if listed.get(OLLAMA):
        return _both(Target(OLLAMA, ANY_MODEL)), "Ollama runs on this machine"
    empty = OLLAMA in lineup.backends and OLLAMA not in silent
    reason = "Ollama runs here but has no model (ollama pull qwen3); " if empty else ""
    return _both(Target(ECHO, ECHO)), f"{reason}it repeats what is said; {TRY}"


def _one(model: BackendSettings, settings: GatewaySettings) -> Lineup:
    backend = _addressed("model", model, settings)
    name = backend.provider
    first = backend.name or (backend.models[0].name if backend.models else ANY_MODEL)
    why = "as configured" if model.name or model.models else "OPENAI_MODEL says so"
    if first == ANY_MODEL:
        why = "the first model that it lists"
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


def _embedded(settings: GatewaySettings) -> Lineup:
    said = settings.gateway
    backends: dict[str, BackendSettings] = {}
    if said.openai.api_key is not None:
        backends[OPENAI] = _addressed("model", BackendSettings(provider=COMPATIBLE), settings)
    if said.ollama is not None:
        backends[OLLAMA] = BackendSettings(provider=COMPATIBLE, endpoint=said.ollama, http=QUICK)
    backends[ECHO] = BackendSettings(provider=ECHO)
    return Lineup(backends, dict.fromkeys(backends, "model"), {})


def _addressed(place: str, backend: BackendSettings, settings: GatewaySettings) -> BackendSettings:
    """The backend, completed from the OPENAI_… variables where it has no endpoint of its own.

    A key from the environment goes to the endpoint from the environment, or to OpenAI, and nowhere else.
    """
    openai = settings.gateway.openai
    if backend.provider != COMPATIBLE or backend.endpoint is not None:
        return backend
    key = backend.api_key or openai.api_key
    if key is None and openai.base_url is None:
        raise StartupError(
            f"{place}: an openai_compatible backend needs an endpoint or a key: set OPENAI_API_KEY "
            f"or OPENAI_BASE_URL, or give {place}.endpoint."
        )
    name = backend.name or (None if backend.models else openai.model)
    return backend.model_copy(update={"endpoint": openai.base_url, "api_key": key, "name": name})


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
