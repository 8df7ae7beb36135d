"""What the model gateway is told: the shared sections, `model` or `models`, and its own limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from clawdbot_servicekit.settings import Bytes, ConfigPath, Seconds, Secret, Section, SharedSettings
from clawdbot_servicekit.settings.suite import PORTS
from clawdbot_servicekit.settings.values import near
from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator

SPELLINGS: Final = {"type": "provider", "model": "name"}
"""Other words for keys of a backend."""

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"
"""Of a backend or an alias: no slash, which parts a backend from its model."""

Name = Annotated[str, Field(pattern=NAME)]


class HttpSettings(Section):
    """How a backend is reached over the network."""

    connect_timeout: Annotated[Seconds, Field(gt=0)] = 10.0
    """For name, connection and TLS together."""
    read_timeout: Annotated[Seconds, Field(gt=0)] = 300.0
    """Silence before the reply begins. A model that thinks long before it speaks needs it long."""
    idle_timeout: Annotated[Seconds, Field(gt=0)] = 60.0
    """Silence between two pieces of a reply."""
    pool_size: Annotated[int, Field(ge=1, le=65_536)] = 500
    """Connections at once. HTTP/1.1 takes one for each request; more requests wait, up to their deadline."""
    keep_alive: Seconds = 30.0
    """How long an idle connection is kept."""
    dns_ttl: Seconds = 30.0
    """How long an address is remembered."""
    ca_file: ConfigPath | None = None
    """PEM file of the authority that the endpoint's certificate comes from; left out: the system's."""


class ModelEntry(Section):
    """One model of a backend."""

    name: str
    """The vendor's name."""
    context_length: Annotated[int, Field(ge=0)] = 0
    """Tokens of a request and its reply together; 0: not known."""


class BackendSettings(Section):
    """One backend. Keys besides these are the provider's own."""

    model_config = ConfigDict(extra="allow")

    provider: str
    """Name of a provider, such as "openai_compatible"; `type` is the same."""
    name: str | None = None
    """The model to ask for first, by the vendor's name; `model` is the same."""
    models: tuple[ModelEntry, ...] = ()
    """All models to offer; left out: those that the backend lists."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = None
    """URL, up to and with the version: "http://localhost:8000/v1". Credentials do not belong in it."""
    api_key: Secret | None = None
    tokenizer: ConfigPath | None = None
    """File that counts its models' tokens without asking: a tokenizer.json, or a .tiktoken vocabulary."""
    headers: Mapping[str, Secret] = Field(default_factory=dict)
    """Further headers of each request."""
    http: HttpSettings = HttpSettings()

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """This and the next ones are for requests that do not say."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    _folder: Path = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Remembers where the provider's own paths start, which are read later."""
        del context
        self._folder = near(Path())

    @property
    def folder(self) -> Path:
        """The configuration file's, or the working directory where there is no file."""
        return self._folder

    @property
    def own(self) -> Mapping[str, Any]:
        """The keys that are the provider's."""
        return self.model_extra or {}

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        taken = dict(values)
        for other, key in SPELLINGS.items():
            if other in taken and key in taken:
                raise ValueError(f"give {key} or {other}, not both")
            if other in taken:
                taken[key] = taken.pop(other)
        return taken

    @field_validator("models", mode="before")
    @classmethod
    def _bare_names(cls, models: Any) -> Any:
        if not isinstance(models, list | tuple):
            return models
        return tuple({"name": each} if isinstance(each, str) else each for each in models)


class AliasTarget(Section):
    """One target of an alias."""

    target: str
    """ "backend/model"; "backend/*" is whatever the backend lists first."""
    weight: Annotated[int, Field(ge=1)] = 1
    """Share among the alias's targets."""
    fallback: bool = False
    """Used only when the others fail; in the order of the list."""


class ModelsSettings(Section):
    """Several backends and what the names mean that callers use."""

    backends: Annotated[Mapping[Name, BackendSettings], Field(min_length=1)]
    aliases: Mapping[Name, tuple[AliasTarget, ...]] = Field(default_factory=dict)
    """Alias → targets. `chat` and `default` are made where they are missing."""

    @field_validator("aliases", mode="before")
    @classmethod
    def _short_forms(cls, aliases: Any) -> Any:
        """A target may stand for a list of one, and its name for a target."""
        if not isinstance(aliases, Mapping):
            return aliases
        return {
            alias: tuple(
                {"target": each} if isinstance(each, str) else each
                for each in (targets if isinstance(targets, list | tuple) else [targets])
            )
            for alias, targets in aliases.items()
        }

    @field_validator("aliases")
    @classmethod
    def _useful(cls, aliases: Mapping[str, tuple[AliasTarget, ...]]) -> Mapping[str, tuple[AliasTarget, ...]]:
        for alias, targets in aliases.items():
            names = [each.target for each in targets]
            if not names:
                raise ValueError(f"the alias {alias} has no target")
            if len(set(names)) < len(names):
                raise ValueError(f"the alias {alias} has a target twice")
        return aliases


class VendorVariables(Section):
    """What a vendor's usual variables say, for backends of it without an endpoint of their own."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = None
    """As the vendor's own library takes it; left out: the vendor's public endpoint."""
    api_key: Secret | None = None
    model: str | None = None

    @property
    def key_places(self) -> tuple[str, ...]:
        """The fields that a key may be in; the first that has one counts."""
        return ("api_key",)


class GeminiVariables(VendorVariables):
    """The same for Gemini, whose key may also go by the name of all of Google's."""

    google_api_key: Secret | None = None

    @property
    def key_places(self) -> tuple[str, ...]:
        """As above."""
        return ("api_key", "google_api_key")


class GatewaySection(Section):
    """The gateway's own limits, and where it looks for models."""

    max_request: Annotated[Bytes, Field(ge=1024)] = 16 * 1024 * 1024
    """Largest request, media included; server.max_message bounds it as well."""
    max_messages: Annotated[int, Field(ge=1)] = 10_000
    max_texts: Annotated[int, Field(ge=1)] = 2048
    """Most texts of one request to embed."""
    openai: VendorVariables = VendorVariables()
    anthropic: VendorVariables = VendorVariables()
    gemini: GeminiVariables = GeminiVariables()
    ollama: Annotated[str, Field(pattern=r"^https?://")] | None = "http://127.0.0.1:11434"
    """Where to look for Ollama when no model is configured; null: do not look."""


class GatewaySettings(SharedSettings):
    """The model gateway's settings."""

    default_port: ClassVar[int] = PORTS["model_gateway"]
    borrowed: ClassVar[Mapping[str, str]] = {
        "gateway.openai.base_url": "OPENAI_BASE_URL",
        "gateway.openai.api_key": "OPENAI_API_KEY",
        "gateway.openai.model": "OPENAI_MODEL",
        "gateway.anthropic.base_url": "ANTHROPIC_BASE_URL",
        "gateway.anthropic.api_key": "ANTHROPIC_API_KEY",
        "gateway.anthropic.model": "ANTHROPIC_MODEL",
        "gateway.gemini.base_url": "GOOGLE_GEMINI_BASE_URL",
        "gateway.gemini.api_key": "GEMINI_API_KEY",
        "gateway.gemini.google_api_key": "GOOGLE_API_KEY",
        "gateway.gemini.model": "GEMINI_MODEL",
    }

    model: BackendSettings | None = None
    """One backend, for the aliases `chat` and `default`."""
    models: ModelsSettings | None = None
    """Several, with aliases. With neither the gateway looks for a model: discovery.py."""
    gateway: GatewaySection = GatewaySection()

    @model_validator(mode="after")
    def _one_form(self) -> GatewaySettings:
        if self.model is not None and self.models is not None:
            raise ValueError("give model or models, not both")
        return self
